"""How the compiled modules are built; setuptools finds it through pyproject.toml.

Environment switches (read at build time only):

* ``REGIMENT_ONLY``: comma-separated module names; builds those and no others.
* ``REGIMENT_SANITIZE``: value of ``-fsanitize=`` (``address``, ``undefined``).
* ``REGIMENT_LINETRACE``: ``1`` builds with line tracing, for coverage of ``.pyx`` files.
"""

from __future__ import annotations

import os

from setuptools.command.build_ext import build_ext


class BuildExt(build_ext):
    """``build_ext`` with this project's Cython directives and compiler flags.

    It never calls ``cythonize()`` itself: setuptools hands the ``.pyx`` on to Cython, so the
    sdist keeps its sources and the wheel builds from it.
    """

    def initialize_options(self) -> None:
        super().initialize_options()
        directives: dict[str, object] = {
            "language_level": 3,
            "embedsignature": False,
            "binding": False,
            "autotestdict": False,
        }
        if os.environ.get("REGIMENT_LINETRACE") == "1":
            directives["linetrace"] = True
        self.cython_directives = directives

    def finalize_options(self) -> None:
        super().finalize_options()
        flags = ["-O2", "-fno-strict-aliasing", "-Wno-unused-function"]
        link: list[str] = []
        if sanitize := os.environ.get("REGIMENT_SANITIZE"):
            flags += [f"-fsanitize={sanitize}", "-fno-omit-frame-pointer", "-g"]
            link += [f"-fsanitize={sanitize}"]
        only = {name for name in os.environ.get("REGIMENT_ONLY", "").split(",") if name}
        if only:
            self.extensions = [ext for ext in self.extensions if ext.name in only]
        for ext in self.extensions:
            ext.extra_compile_args = [*ext.extra_compile_args, *flags]
            ext.extra_link_args = [*ext.extra_link_args, *link]
            if os.environ.get("REGIMENT_LINETRACE") == "1":
                ext.define_macros = [*ext.define_macros, ("CYTHON_TRACE", "1")]
