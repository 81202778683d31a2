// The folder of the checkpoints: may it be written, who sees it, are its locks kept, how fast and how full is
// its disk.
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/statfs.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include <chrono>
#include <set>
#include <thread>

#include "checks.hpp"
#include "divs/core/clock.hpp"
#include "divs/core/error.hpp"
#include "divs/core/units.hpp"
#include "divs/io/atomic_file.hpp"
#include "divs/io/folder_lock.hpp"
#include "divs/io/hdf5_lock.hpp"
#include "divs/io/temporary_folder.hpp"
#include "divs/nn/backend.hpp"
#include "divs/nn/model.hpp"
#include "divs/train/job.hpp"
#include "divs/video/dataset.hpp"

namespace divs::doctor {
namespace {

namespace fs = std::filesystem;
using Json = nlohmann::json;

constexpr double visible_after = 3;  // seconds that a network file system may take to show a new file
constexpr double slow_disk = 20;     // MB/s
constexpr const char* topic = "checkpoint folder";

fs::path nearest_existing(fs::path folder) {
    folder = fs::absolute(folder);
    std::error_code code;
    while (!fs::exists(folder, code) && folder.has_relative_path()) folder = folder.parent_path();
    return folder;
}

// What the kernel calls the file system; empty where the name is not known here. Numbers: linux/magic.h and
// the makers.
std::string file_system(const fs::path& folder) {
    struct statfs disk {};
    if (::statfs(folder.c_str(), &disk) != 0) return "";
    switch (static_cast<std::uint32_t>(disk.f_type)) {
        case 0x6969:
            return "NFS";
        case 0x0BD00BD0:
            return "Lustre";
        case 0x47504653:
            return "GPFS";
        case 0x19830326:
            return "BeeGFS";
        case 0x00C36400:
            return "CephFS";
        case 0xEF53:
            return "ext4";
        case 0x58465342:
            return "XFS";
        case 0x9123683E:
            return "Btrfs";
        case 0x01021994:
            return "tmpfs, gone with the machine's power";
        case 0x794C7630:
            return "overlay, gone with the container";
        case 0x65735546:
            return "FUSE";
        case 0xFF534D42:
            return "CIFS";
        default:
            return "";
    }
}

// Bytes of a checkpoint of the configured model and its optimiser; 0 where that cannot be said.
double checkpoint_bytes(const train::Settings& settings) {
    try {
        const video::Dataset dataset = video::read_dataset(settings.data.dataset);
        nn::Model model(train::describe_model(settings.model, settings.data.catalogue.clip,
                                                    static_cast<int>(dataset.classes.size())),
                              nn::make_backend("cpu", {}));
        const bool sgd = settings.optimizer.update.optimizer == nn::Optimizer::sgd;
        return 4.0 * static_cast<double>(model.parameters().size()) * (sgd ? 2 : 3);
    } catch (const Error&) {
        return 0;  // the checks of the data and of the model say why
    }
}

struct DiskRates {
    double write = 0, read = 0;  // MB/s
};

// Written, synced, pushed out of memory as far as the kernel does that, and read again.
DiskRates measure_disk(const fs::path& file, double megabytes) {
    const std::vector<std::byte> block(1 << 20, std::byte{0x5A});
    const std::vector<std::span<const std::byte>> pieces(static_cast<std::size_t>(megabytes), block);
    const double written = static_cast<double>(pieces.size()) * static_cast<double>(block.size()) / 1e6;
    Stopwatch watch;
    io::write_atomically(file, pieces);
    DiskRates rates{written / watch.lap(), 0};
    const int in = ::open(file.c_str(), O_RDONLY | O_CLOEXEC);
    if (in < 0) return rates;
    ::posix_fadvise(in, 0, 0, POSIX_FADV_DONTNEED);
    std::vector<std::byte> buffer(block.size());
    watch.lap();
    while (::read(in, buffer.data(), buffer.size()) > 0) {
    }
    rates.read = written / watch.seconds();
    ::close(in);
    return rates;
}

void check_room(const Examination& examination, const fs::path& base, double bytes, Notes& notes) {
    struct statvfs disk {};
    if (::statvfs(base.c_str(), &disk) != 0) return;
    const double room = static_cast<double>(disk.f_bavail) * static_cast<double>(disk.f_frsize);
    const int kept = examination.settings ? examination.settings->run.keep_last + 2
                                          : 1;  // the best, and one being written
    const std::string text = fmt::format("{} free", bytes_text(room)) +
                             (bytes > 0 ? fmt::format(", a checkpoint takes {}", bytes_text(bytes)) : "");
    if (bytes > 0 && room < bytes)
        notes.error("room", text, "make room or name another train.folder: training refuses to start");
    else if (bytes > 0 && room < kept * bytes)
        notes.warning("room", fmt::format("{}, up to {} are kept", text, kept),
                      "make room, or lower train.keep_last");
    else
        notes.ok("room", text);
}

void check_disk(const Examination& examination, const fs::path& probe, double bytes, Notes& notes) {
    try {
        const DiskRates rates = measure_disk(probe / "disk", examination.megabytes);
        notes.figures["disk_write_mb_per_s"] = rates.write;
        notes.figures["disk_read_mb_per_s"] = rates.read;
        std::string text = fmt::format("writes {:.0f} MB/s, reads {:.0f} MB/s", rates.write, rates.read);
        if (bytes > 0)
            text += fmt::format(": a checkpoint in {}", seconds_text(bytes / 1e6 / rates.write));
        if (rates.write < slow_disk)
            notes.warning("disk rate", text,
                          "put train.folder on a faster disk, or save less often "
                          "(train.checkpoint_seconds)");
        else
            notes.ok("disk rate", text);
    } catch (const StorageError& e) {
        notes.error("disk rate",
                    fmt::format("{:.0f} MB cannot be written there: {}", examination.megabytes, e.what()),
                    "make room, look at the quota, or name another train.folder");
    }
}

// What each rank sees of a file that rank 0 holds open and locked.
struct Look {
    bool sees = false, locked = false;
};

Look look_at(const fs::path& file) {
    const Stopwatch watch;
    std::error_code code;
    while (!fs::exists(file, code))
        if (watch.seconds() > visible_after)
            return {};
        else
            std::this_thread::sleep_for(std::chrono::milliseconds(50));
    return {true, io::is_locked(file)};
}

void judge_looks(const std::vector<Json>& looks, const fs::path& folder, const std::string& fault,
                 Notes& notes) {
    std::vector<int> blind, unlocked;
    std::set<std::string> hosts;
    for (std::size_t rank = 0; rank < looks.size(); ++rank) {
        hosts.insert(looks[rank].at("host").get<std::string>());
        if (!looks[rank].at("sees"))
            blind.push_back(static_cast<int>(rank));
        else if (!looks[rank].at("locked"))
            unlocked.push_back(static_cast<int>(rank));
    }
    if (!blind.empty())
        notes.warning(
            "shared folder",
            fmt::format("rank {} does not see the folder {} of rank 0", ranges_text(blind), folder.string()),
            fmt::format(
                "put train.folder on a file system that all hosts mount, or see that rank 0 always starts "
                "on {}: else a restart elsewhere begins anew",
                looks[0].at("host").get<std::string>()));
    else if (looks.size() > 1)
        notes.ok("shared folder",
                 fmt::format("all ranks see {} ({} host(s))", folder.string(), hosts.size()));
    if (!fault.empty())
        notes.warning("HDF5 locking", "the library cannot lock files there: " + fault,
                      "set HDF5_USE_FILE_LOCKING=FALSE for programs that read checkpoints in place; DIVS "
                      "itself renames "
                      "whole files and needs no such lock");
    else if (!unlocked.empty())
        notes.warning("HDF5 locking",
                      fmt::format("rank {} can lock a file that rank 0 has locked: locks are not kept{}",
                                  ranges_text(unlocked), hosts.size() > 1 ? " from host to host" : ""),
                      "mount with locks (NFS without nolock, Lustre with -o flock) and unset "
                      "HDF5_USE_FILE_LOCKING; until "
                      "then a second job on a folder is noticed by its heartbeat, some seconds later");
    else
        notes.ok("HDF5 locking", "files are locked against a second writer");
}

// Rank 0 makes the probe folder; where it cannot, there is nothing more to look at.
std::unique_ptr<io::TemporaryFolder> make_probe(const fs::path& folder, const fs::path& base, Notes& notes) {
    const std::string kind = file_system(base);
    try {
        auto probe = std::make_unique<io::TemporaryFolder>(".divs-doctor", base);
        notes.ok(topic,
                 fmt::format("{} can be written{}", folder.string(), kind.empty() ? "" : " (" + kind + ")"));
        return probe;
    } catch (const StorageError& e) {
        notes.error(topic, fmt::format("{} cannot be written: {}", folder.string(), e.what()),
                    "look at owner, mount and quota, or name another train.folder");
        return nullptr;
    }
}

}  // namespace

void check_storage(Patient& patient, Notes& notes) {
    const Examination& examination = patient.examination;
    const fs::path base = nearest_existing(examination.folder);
    std::unique_ptr<io::TemporaryFolder> probe;
    std::unique_ptr<io::Hdf5LockTrial> trial;
    if (patient.is_root()) {
        probe = make_probe(examination.folder, base, notes);
        if (const auto holder = io::FolderLock::holder(examination.folder))
            notes.warning(
                topic, fmt::format("{} is in use: {}", examination.folder.string(), holder->text()),
                "a second job there is refused: wait for it, stop it, or name another train.folder");
        if (probe) trial = std::make_unique<io::Hdf5LockTrial>(*probe / "lock.h5");
    }
    const std::string token =
        broadcast(patient.world, probe ? (*probe / "lock.h5").string() : "").get<std::string>();
    if (token.empty()) return;
    // Where the library made no file there is still a folder to see.
    const bool has_file = broadcast(patient.world, trial ? Json(trial->fault().empty()) : Json(false));
    const Look look = look_at(has_file ? fs::path(token) : fs::path(token).parent_path());
    const auto looks =
        gather(patient.world, {{"host", patient.world.host()}, {"sees", look.sees}, {"locked", look.locked}});
    if (!patient.is_root()) return;
    judge_looks(looks, base, trial->fault(), notes);
    const double bytes = examination.settings ? checkpoint_bytes(*examination.settings) : 0;
    check_room(examination, base, bytes, notes);
    check_disk(examination, probe->path(), bytes, notes);
}

}  // namespace divs::doctor
