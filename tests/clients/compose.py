"""Judges docker-compose.yml as text: compose.py FILE. Docker itself is not needed.

What is checked is what a reader would rely on: pinned images, ports on loopback only, health before dependence,
no privilege that is not needed, no secret without a variable to replace it, no mounted path that is missing.
"""

import pathlib
import re
import sys

import yaml
from checks import Checks

VARIABLE = re.compile(r"\$\{(\w+)(?::-([^}]*))?\}")
ONE_SHOT = {"minio-init", "producer"}
SECRET = re.compile(r"PASSWORD|SECRET")


def check_service(checks, folder, name, service, compose):
    image = service.get("image", "")
    tag = image.rpartition(":")[2] if ":" in image else ""
    checks.check(f"{name}: the image is pinned", bool(re.search(r"\d", tag)), image or "no image")
    ports = service.get("ports", [])
    checks.check(f"{name}: ports are bound to loopback", all(str(port).startswith("127.0.0.1:") for port in ports), ports)
    if name not in ONE_SHOT:
        checks.check(f"{name}: has a health check", "test" in service.get("healthcheck", {}))
        checks.check(f"{name}: keeps its data in a named volume",
                     any(str(volume).split(":")[0] in compose["volumes"] for volume in service.get("volumes", [])))
    for other, how in service.get("depends_on", {}).items():
        wanted = "service_completed_successfully" if other in ONE_SHOT else "service_healthy"
        checks.check(f"{name}: waits until {other} is ready", how.get("condition") == wanted, how)
        checks.check(f"{name}: depends on a service that exists", other in compose["services"], other)
    checks.check(f"{name}: is not privileged", not service.get("privileged") and "network_mode" not in service)
    for volume in service.get("volumes", []):
        source = str(volume).split(":")[0]
        there = (folder / source).exists() if source.startswith(".") else source in compose["volumes"]
        checks.check(f"{name}: {source} exists", there)
    for key, value in (service.get("environment") or {}).items():
        if SECRET.search(key):
            checks.check(f"{name}: {key} can be replaced", VARIABLE.fullmatch(str(value)), value)


def main():
    path = pathlib.Path(sys.argv[1])
    text = path.read_text()
    compose = yaml.safe_load(text)
    checks = Checks()
    checks.check("it has the services", {"kafka", "minio", "minio-init", "sluice"} <= compose["services"].keys(),
                 list(compose["services"]))
    for name, service in compose["services"].items():
        check_service(checks, path.parent, name, service, compose)
    sluice = compose["services"]["sluice"]
    checks.check("sluice: runs without capabilities", sluice.get("cap_drop") == ["ALL"])
    dockerfile = (path.parent / "Dockerfile").read_text()
    users = re.findall(r"^USER (\w+)", dockerfile, re.MULTILINE)
    checks.check("the image's user is not root", users and users[-1] not in ("root", "0"), users)
    bases = re.findall(r"^FROM (\S+)", dockerfile, re.MULTILINE)
    checks.check("the image's bases are pinned", bases and all(re.search(r":.*\w", base) and ":latest" not in base
                                                               for base in bases), bases)
    example = dict(line.split("=", 1) for line in (path.parent / ".env.example").read_text().splitlines()
                   if "=" in line and not line.startswith("#"))
    checks.check(".env.example names each variable with its default", dict(VARIABLE.findall(text)) == example,
                 f"{sorted(dict(VARIABLE.findall(text)).items())} against {sorted(example.items())}")
    checks.finish()


if __name__ == "__main__":
    main()
