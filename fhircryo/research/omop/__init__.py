"""The cohort as rows of the OMOP Common Data Model 5.4, with a vocabulary of its own concepts."""
