"""Google's clients as their documentation shows them: nothing is told to any of them."""

from google.cloud import binaryauthorization_v1, kms_v1
from google.cloud.devtools import containeranalysis_v1

policies = binaryauthorization_v1.BinauthzManagementServiceV1Client()
assert policies.transport.kind == "grpc", policies.transport.kind
assert policies.get_policy(name="projects/demo/policy").name == "projects/demo/policy"
over_http = binaryauthorization_v1.BinauthzManagementServiceV1Client(transport="rest")
assert over_http.get_policy(name="projects/demo/policy").name == "projects/demo/policy"
rings = kms_v1.KeyManagementServiceClient().list_key_rings(parent="projects/demo/locations/global")
assert list(rings) == [], rings
notes = containeranalysis_v1.ContainerAnalysisClient().get_grafeas_client().list_notes(parent="projects/demo")
print([note.name for note in notes])
