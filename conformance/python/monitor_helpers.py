"""What the tutorial's program leaves to whoever uses it, and the call of it. Its text comes before this."""

ALERTED = []


def _extract_image(payload):
    spec = payload["request"]["spec"]
    spec = spec.get("template", {}).get("spec", spec)
    return spec["containers"][0]["image"]


def _extract_annotation(payload):
    return payload["request"]["metadata"]["annotations"]["alpha.image-policy.k8s.io/break-glass"]


def send_security_alert(events):
    ALERTED.extend(events)


found = check_break_glass_usage()  # noqa: F821
assert found == ALERTED and len(found) == 1, found
print(found[0]["user"], found[0]["image"], found[0]["justification"])
