"""What pyproject.toml cannot say: a wheel has our modules for engines in it, compiled for the machine that it is made on.

So no compiler is needed where it is installed. Where none is while it is made, the wheel is for any machine and has none of
them; the source comes along in every case, and is compiled when it is wanted. An editable installation compiles nothing here.
"""

import re
import sys
from pathlib import Path

from setuptools import Distribution, setup
from setuptools.command.bdist_wheel import bdist_wheel
from setuptools.command.build_py import build_py

sys.path.insert(0, str(Path(__file__).parent / "src"))

from cachefleet.engines.build_tools import compiler_name
from cachefleet.engines.module_compiling import PREBUILT, NotCompiled, compile_module
from cachefleet.engines.modules import EVERY_MODULE

PLACE = Path("cachefleet", "engines", PREBUILT.name)
NEEDS_GLIBC = re.compile(rb"\0GLIBC_(\d+)\.(\d+)(?=[\0.])")


class Built(Distribution):
    def has_ext_modules(self) -> bool:
        return bool(compiler_name())


class BuildPy(build_py):
    def run(self) -> None:
        super().run()
        if self.editable_mode:
            return
        folder = Path(self.build_lib) / PLACE
        folder.mkdir(parents=True, exist_ok=True)
        for old in folder.glob("*.so"):
            old.unlink()
        if not compiler_name():
            self.warn("there is no C compiler: IAM users and CONFIG for clients will need one where this wheel is installed")
            return
        for source in EVERY_MODULE:
            try:
                compile_module(source, folder).chmod(0o755)
            except NotCompiled as error:
                sys.exit(f"error: {error}")


class Wheel(bdist_wheel):
    def get_tag(self) -> tuple[str, str, str]:
        """For any Python; for machines whose C library is as new as the modules need (PEP 600)."""
        *_, platform = super().get_tag()
        modules = list((Path(self.get_finalized_command("build_py").build_lib) / PLACE).glob("*.so"))
        needed = [tuple(map(int, found)) for module in modules for found in NEEDS_GLIBC.findall(module.read_bytes())]
        if needed and platform.startswith("linux_"):
            major, minor = max(needed)
            platform = f"manylinux_{major}_{minor}_{platform.removeprefix('linux_')}"
        return "py3", "none", platform


setup(distclass=Built, cmdclass={"build_py": BuildPy, "bdist_wheel": Wheel})
