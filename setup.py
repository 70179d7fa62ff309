"""What pyproject.toml cannot yet say without a warning: the compiled counter, one for every Python from 3.11 on.

It is optional. Without a compiler the package installs all the same and counts with numpy: the same bits, ten times slower.
"""

from setuptools import Extension, setup

counter = Extension(
    "bitsmith.calibration._count",
    ["src/bitsmith/calibration/_count.c"],
    define_macros=[("Py_LIMITED_API", "0x030B0000")],
    extra_compile_args=["-O3"],
    py_limited_api=True,
    optional=True,
)
setup(ext_modules=[counter], options={"bdist_wheel": {"py_limited_api": "cp311"}})
