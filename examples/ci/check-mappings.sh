#!/bin/sh
# What a site's CI runs on its mappings, as the command of `fhircryo hapi`: HAPI_URL is a FHIR server
# that holds the sample. Each command fails with an exit code of its own (docs/reference/exit-codes.md).
#   fhircryo hapi --load sample -- sh check-mappings.sh
set -eu
: "${HAPI_URL:?run this as the command of fhircryo hapi}"
MAPPINGS=${MAPPINGS:-site.yaml}
CASES=${CASES:-cases.yaml}
AS_OF=${AS_OF:-$(date +%F)}
OUT=${OUT:-endpoints}

fhircryo mappings check "$MAPPINGS"
fhircryo mappings test "$CASES" --mappings "$MAPPINGS"
# The server as source and as target: what is searched, what may be written.
fhircryo doctor "$HAPI_URL" "$HAPI_URL" --mappings "$MAPPINGS"
fhircryo compute "$HAPI_URL" "$OUT" --mappings "$MAPPINGS" --as-of "$AS_OF" --validate --force
# Written back, and a second time: nothing is left to write.
fhircryo compute "$HAPI_URL" "$HAPI_URL" --mappings "$MAPPINGS" --as-of "$AS_OF"
fhircryo compute "$HAPI_URL" "$HAPI_URL" --mappings "$MAPPINGS" --as-of "$AS_OF" --dry-run
