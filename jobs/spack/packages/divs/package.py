# A Spack recipe for a checkout:
#   spack repo add CHECKOUT/jobs/spack
#   spack dev-build --source-path CHECKOUT divs@main
from spack.package import *


class Divs(CMakePackage):
    """DIVS trains video models on a cluster and analyses surveillance video with them: MPI, FFmpeg, oneDNN, HDF5."""

    license("Apache-2.0")

    version("main")

    variant("tests", default=False, description="Build the tests")

    depends_on("c", type="build")
    depends_on("cxx", type="build")
    depends_on("cmake@3.25:", type="build")
    depends_on("pkgconfig", type="build")
    generator("ninja")

    depends_on("mpi")
    depends_on("hdf5~mpi")
    depends_on("ffmpeg@5: +libx264")
    depends_on("onednn@2.6: cpu_runtime=omp")
    depends_on("openblas")
    depends_on("cli11@2.1:")
    depends_on("spdlog@1.10: +fmt_external")
    depends_on("tomlplusplus@3.3:")
    depends_on("nlohmann-json@3.11:")
    depends_on("catch2@2.13:", type=("build", "test"), when="+tests")
    depends_on("boost +context", type=("build", "test"), when="+tests")

    depends_on("python@3.9:", type="run")
    depends_on("py-matplotlib", type="run")

    def cmake_args(self):
        return [self.define_from_variant("DIVS_TESTS", "tests")]
