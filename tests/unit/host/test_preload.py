"""What the mould leaves to import: a box process may not read code any more."""

import subprocess
import sys

CODE = """
import sys
from boxruntime.host import application
application.preload("4.0.1")
known = set(sys.modules)
from boxruntime.fhir.fhirpath import holds
patient = {"resourceType": "Patient", "name": [{"family": "Oak"}]}
assert holds("name.exists()", fhir_version="4.0.1", value=patient, type_path="Patient",
             resource=patient, root=patient)
assert not holds("name.given.exists() and 1 < 0", fhir_version="4.0.1", value=patient,
                 type_path="Patient", resource=patient, root=patient)
from boxruntime.http.yaml_text import decode_yaml
assert decode_yaml("a: [1, {b: yes}]") == {"a": [1, {"b": "yes"}]}
from boxruntime.fhir.narrative import clean_div
clean_div('<div xmlns="http://www.w3.org/1999/xhtml"><script>x</script></div>')
import boxruntime.api.routes, boxruntime.pipeline
print(sorted(set(sys.modules) - known))
"""


def test_a_box_process_imports_nothing_that_the_mould_did_not():
    result = subprocess.run(
        [sys.executable, "-c", CODE], check=True, capture_output=True, text=True
    )
    assert result.stdout.strip() == "[]"
