#include "environment.hpp"

#include <unistd.h>

#include <map>

#include "bundled.hpp"
#include "mpi_check.hpp"

namespace divs::comm {

Tier Topology::tier(int from, int to) const noexcept {
    if (from == to) return Tier::edge;
    const auto cluster = [&](int r) { return clusters[static_cast<std::size_t>(r)]; };
    return cluster(from) == cluster(to) ? Tier::cluster : Tier::centre;
}

std::vector<int> assign_clusters(const std::vector<int>& leaders, int cluster_size) {
    std::vector<int> clusters(leaders.size());
    std::map<int, int> numbers;  // leader -> cluster; leaders ascend with their first rank
    for (std::size_t r = 0; r < leaders.size(); ++r)
        clusters[r] = cluster_size > 0
                          ? static_cast<int>(r) / cluster_size
                          : numbers.try_emplace(leaders[r], static_cast<int>(numbers.size())).first->second;
    return clusters;
}

Environment::Environment(int cluster_size, bool threads) {
    int initialised = 0, provided = 0;
    MPI_Initialized(&initialised);
    if (initialised)
        throw_error<CommunicationError>("MPI was started before in this process, expected one World");
    const int wanted = threads ? MPI_THREAD_FUNNELED : MPI_THREAD_SINGLE;
    find_bundled_mpi();
    check_mpi(MPI_Init_thread(nullptr, nullptr, wanted, &provided), "MPI_Init_thread", -1);
    if (provided < wanted)
        throw_error<CommunicationError>("MPI offers thread level {}, expected at least MPI_THREAD_FUNNELED",
                                        provided);
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    DIVS_MPI(-1, MPI_Comm_dup, MPI_COMM_WORLD, &communicator_);
    MPI_Comm_set_errhandler(communicator_, MPI_ERRORS_RETURN);
    find_topology(cluster_size);
}

void Environment::find_topology(int cluster_size) {
    MPI_Comm_rank(communicator_, &topology_.rank);
    MPI_Comm_size(communicator_, &topology_.size);
    char name[256] = "";
    gethostname(name, sizeof name - 1);
    topology_.host = name;

    MPI_Comm local = MPI_COMM_NULL;
    const int rank = topology_.rank;
    DIVS_MPI(rank, MPI_Comm_split_type, communicator_, MPI_COMM_TYPE_SHARED, rank, MPI_INFO_NULL, &local);
    MPI_Comm_rank(local, &topology_.local_rank);
    MPI_Comm_size(local, &topology_.local_size);
    int leader = rank;
    DIVS_MPI(rank, MPI_Bcast, &leader, 1, MPI_INT, 0, local);
    MPI_Comm_free(&local);

    std::vector<int> leaders(static_cast<std::size_t>(topology_.size));
    DIVS_MPI(rank, MPI_Allgather, &leader, 1, MPI_INT, leaders.data(), 1, MPI_INT, communicator_);
    topology_.clusters = assign_clusters(leaders, cluster_size);
}

Environment::~Environment() {
    if (abandoned_) return;
    MPI_Comm_free(&communicator_);
    MPI_Finalize();
}

}  // namespace divs::comm
