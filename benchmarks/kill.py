"""Does a build survive SIGKILL at any moment, with any number of workers?

    python benchmarks/kill.py --kills 20 -- --dataset demo --regime 10 --image-size 64

Builds once without interruption and with one worker. Then builds again with two workers and kills
the build at random moments; a build that ends before its kill is deleted and started again. At the
end the sha256 of every file is compared. Exit code 1 if one differs.
"""

import argparse
import hashlib
import random
import shutil
import subprocess
import sys
import tempfile
import time
from pathlib import Path


def hashes(folder: Path) -> dict[str, str]:
    return {
        str(path.relative_to(folder)): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--kills", type=int, default=20)
    parser.add_argument("--seed", type=int, default=random.SystemRandom().randrange(1 << 32))
    parser.add_argument("arguments", nargs="+", help="arguments of xbuild synth, after --")
    options = parser.parse_args()
    xbuild = [str(Path(sys.executable).with_name("xbuild")), "synth", *options.arguments]
    moments = random.Random(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        whole, broken = Path(folder, "whole"), Path(folder, "broken")
        quiet = {"stdout": subprocess.DEVNULL, "stderr": subprocess.DEVNULL}
        start = time.perf_counter()
        subprocess.run([*xbuild, "--out", whole, "--workers", "1"], check=True, **quiet)
        unbroken = time.perf_counter() - start
        killed = 0
        while killed < options.kills:
            process = subprocess.Popen([*xbuild, "--out", broken, "--workers", "2"], **quiet)
            try:
                process.wait(moments.uniform(0.1, unbroken / 3))
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
                killed += 1
            else:
                shutil.rmtree(broken)  # it ended before its kill
        subprocess.run([*xbuild, "--out", broken, "--workers", "2"], check=True, **quiet)
        expected, found = hashes(whole), hashes(broken)
    differing = {name for name in expected | found if expected.get(name) != found.get(name)}
    print(
        f"seed {options.seed}: killed {killed} times, {len(expected)} files, "
        f"{len(differing)} differ {sorted(differing)[:5]}"
    )
    return bool(differing)


if __name__ == "__main__":
    sys.exit(main())
