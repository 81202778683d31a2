#include "rank_facts.hpp"

#include <sys/resource.h>

#include <algorithm>
#include <nlohmann/json.hpp>

namespace divs::train {

Facts sum_of(const std::vector<Facts>& ranks) {
    Facts sum{};
    for (const Facts& rank : ranks)
        for (std::size_t i = 0; i < sum.size(); ++i) sum[i] += rank[i];
    return sum;
}

double most_of(const std::vector<Facts>& ranks, Fact fact) {
    double most = 0;
    for (const Facts& rank : ranks) most = std::max(most, rank[fact]);
    return most;
}

nlohmann::json to_json(const std::vector<Facts>& ranks) {
    nlohmann::json all = nlohmann::json::array();
    for (const Facts& rank : ranks) {
        nlohmann::json one;
        for (std::size_t i = 0; i < rank.size(); ++i) one[std::string(fact_names[i])] = rank[i];
        all.push_back(std::move(one));
    }
    return all;
}

double peak_resident_bytes() {
    rusage usage{};
    getrusage(RUSAGE_SELF, &usage);
    return static_cast<double>(usage.ru_maxrss) * 1024;
}

}  // namespace divs::train
