#include "bundled.hpp"

#include <cstdlib>
#include <filesystem>

namespace divs::comm {

void find_bundled_mpi() {
    namespace fs = std::filesystem;
    std::error_code code;
    const fs::path program = fs::read_symlink("/proc/self/exe", code);
    const fs::path home = program.parent_path().parent_path() / "lib" / "divs" / "openmpi";
    if (code || !fs::is_directory(home, code)) return;
    setenv("OPAL_PREFIX", home.c_str(), 0);
    setenv("PMIX_INSTALL_PREFIX", home.c_str(), 0);
    setenv("OPAL_PKGLIBDIR", (home / "lib" / "openmpi3").c_str(), 0);
    setenv("OMPI_MCA_ess_singleton_isolated", "1", 0);  // alone it needs no daemon, which would need ssh
    setenv("PMIX_MCA_pcompress_base_silence_warning", "1", 0);
}

}  // namespace divs::comm
