#!/usr/bin/env bash
# SPDX-License-Identifier: Apache-2.0
# Make the environment of MONAI Label, .venv-monai-label in the repository's root. `make monai-label` calls this.
# Doing it again does nothing, unless one of the files here has changed. Another folder: install.sh <folder>.
set -euo pipefail

here=$(cd "$(dirname "${BASH_SOURCE[0]}")" && pwd)
venv=${1:-$here/../../.venv-monai-label}
python=${PYTHON:-python3}
monailabel=0.8.5

state=$(cat "$here/install.sh" "$here/requirements.txt" "$here/sitecustomize.py")
if [ -f "$venv/installed" ] && [ "$state" = "$(cat "$venv/installed")" ]; then
  echo "$venv is up to date"
  exit
fi
rm -f "$venv/installed"
"$python" -m venv "$venv"
echo "*" > "$venv/.gitignore"
# torch first and alone: a bare requirement could resolve to a build with several GB of CUDA packages.
"$venv/bin/pip" install --quiet "$(grep '^torch==' "$here/requirements.txt")"
"$venv/bin/pip" install --quiet --requirement "$here/requirements.txt"
"$venv/bin/pip" install --quiet --no-deps "monailabel==$monailabel"
cp "$here/sitecustomize.py" "$("$venv/bin/python" -c 'import sysconfig; print(sysconfig.get_path("purelib"))')"
"$venv/bin/python" -c 'import torchvision, monailabel.tasks.infer.bundle' > "$venv/import.log" 2>&1 || {
  cat "$venv/import.log" >&2
  echo "error: MONAI Label $monailabel was installed into $venv but cannot be imported; the reason is above" >&2
  exit 1
}
printf '%s' "$state" > "$venv/installed"
echo "MONAI Label $monailabel is in $venv"
