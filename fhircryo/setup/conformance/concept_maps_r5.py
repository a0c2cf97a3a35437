"""ConceptMaps in the form of R5; other terminology resources are the same in R4 and R5.

Source: https://hl7.org/fhir/R5/conceptmap.html and its mapping to R4, and
https://hl7.org/fhir/R5/codesystem-concept-map-relationship.html
"""

from fhircryo.setup.terminology.canonical import Resource

#: The relationship of R5 by the equivalence of R4: "wider" means that the target is wider.
_RELATIONSHIPS = {
    "equivalent": "equivalent",
    "wider": "source-is-narrower-than-target",
    "relatedto": "related-to",
}


def in_r5(resource: Resource) -> Resource:
    """A terminology resource in the form of R5."""
    if resource["resourceType"] != "ConceptMap":
        return resource
    attributes: dict[str, Resource] = {}
    groups = [
        {
            **group,
            "element": [
                {**element, "target": [_target(one, attributes) for one in element["target"]]}
                for element in group["element"]
            ],
        }
        for group in resource["group"]
    ]
    found = {key: value for key, value in resource.items() if key != "group"}
    if attributes:
        found["additionalAttribute"] = list(attributes.values())
    return {**found, "group": groups}


def _target(target: Resource, attributes: dict[str, Resource]) -> Resource:
    """A target; the attributes that it depends on are added to ``attributes`` by code."""
    found = {key: value for key, value in target.items() if key not in ("equivalence", "dependsOn")}
    found["relationship"] = _RELATIONSHIPS[target["equivalence"]]
    conditions = [_condition(one, attributes) for one in target.get("dependsOn", ())]
    return found | {"dependsOn": conditions} if conditions else found


def _condition(depends: Resource, attributes: dict[str, Resource]) -> Resource:
    coded = "system" in depends
    element = depends["property"].rpartition("#")[2]
    code = element.replace(".", "-") + ("-code" if coded else "")
    kind = "Coding" if coded else "string"
    attributes.setdefault(code, {"code": code, "uri": depends["property"], "type": kind})
    if coded:
        coding = {"system": depends["system"], "code": depends["value"]}
        return {"attribute": code, "valueCoding": coding}
    return {"attribute": code, "valueString": depends["value"]}
