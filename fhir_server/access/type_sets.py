"""Sets of resource types that rights speak of."""

DIRECTORY = frozenset(
    (
        "Endpoint",
        "HealthcareService",
        "Location",
        "Organization",
        "OrganizationAffiliation",
        "Practitioner",
        "PractitionerRole",
    )
)
"""Who and what there is in a hospital."""

DEFINITIONS = frozenset(
    (
        "ActivityDefinition",
        "CapabilityStatement",
        "ChargeItemDefinition",
        "CodeSystem",
        "CompartmentDefinition",
        "ConceptMap",
        "DeviceDefinition",
        "EventDefinition",
        "ExampleScenario",
        "GraphDefinition",
        "ImplementationGuide",
        "Library",
        "Measure",
        "MedicationKnowledge",
        "MessageDefinition",
        "NamingSystem",
        "ObservationDefinition",
        "OperationDefinition",
        "PlanDefinition",
        "Questionnaire",
        "SearchParameter",
        "SpecimenDefinition",
        "StructureDefinition",
        "StructureMap",
        "TerminologyCapabilities",
        "TestScript",
        "ValueSet",
    )
)
"""What means the same for every patient."""

ALONGSIDE = DIRECTORY | DEFINITIONS | {"Medication"}
"""Types outside of a patient's compartment that may be read by `patient/` scopes."""
