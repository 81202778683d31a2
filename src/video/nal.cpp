#include "nal.hpp"

#include <algorithm>
#include <cstring>
#include <vector>

#include "divs/io/bytes.hpp"

namespace divs::video {
namespace {

// Position of the next 00 00 01 at or behind `from`, or the size.
std::size_t find_start_code(Bytes bytes, std::size_t from) noexcept {
    while (from + 3 <= bytes.size()) {
        const void* one = std::memchr(bytes.data() + from + 2, 1, bytes.size() - from - 2);
        if (!one) break;
        const auto at = static_cast<std::size_t>(static_cast<const std::uint8_t*>(one) - bytes.data());
        if (bytes[at - 1] == 0 && bytes[at - 2] == 0) return at - 2;
        from = at - 1;
    }
    return bytes.size();
}

bool split_annex_b(Bytes bytes, const std::function<bool(Bytes)>& visit) {
    std::size_t start = find_start_code(bytes, 0);
    if (start == bytes.size()) return false;
    while (start < bytes.size()) {
        const std::size_t begin = start + 3;
        start = find_start_code(bytes, begin);
        std::size_t end = start;
        while (end > begin && bytes[end - 1] == 0) --end;  // trailing_zero_8bits
        if (end > begin && !visit(bytes.subspan(begin, end - begin))) return true;
    }
    return true;
}

std::size_t read_length(Bytes bytes, std::size_t at, int count) noexcept {
    std::size_t value = 0;
    for (int i = 0; i < count; ++i) value = (value << 8) | bytes[at + i];
    return value;
}

// Without the emulation prevention bytes (00 00 03 -> 00 00), at most `most` bytes.
std::vector<std::uint8_t> raw_payload(Bytes unit, std::size_t skip, std::size_t most) {
    std::vector<std::uint8_t> out;
    int zeros = 0;
    for (std::size_t i = skip; i < unit.size() && out.size() < most; ++i) {
        if (zeros >= 2 && unit[i] == 3) {
            zeros = 0;
            continue;
        }
        zeros = unit[i] == 0 ? zeros + 1 : 0;
        out.push_back(unit[i]);
    }
    return out;
}

// ue(v) of H.264 9.1, starting at a bit; 0 where the bytes end.
unsigned exp_golomb(const std::vector<std::uint8_t>& bytes, std::size_t bit) noexcept {
    const auto get = [&](std::size_t i) -> unsigned {
        return i / 8 < bytes.size() ? (bytes[i / 8] >> (7 - i % 8)) & 1U : 1U;
    };
    int zeros = 0;
    while (zeros < 31 && get(bit) == 0) ++zeros, ++bit;
    unsigned value = 0;
    for (int i = 0; i <= zeros; ++i) value = (value << 1) | get(bit++);
    return value - 1;
}

std::uint64_t hash_of(Bytes unit) noexcept {
    io::Hash64 hash;
    hash.add(std::as_bytes(unit));
    return hash.value();
}

}  // namespace

NalSplitter::NalSplitter(const AVCodecParameters& codec)
    : hevc_(codec.codec_id == AV_CODEC_ID_HEVC),
      extradata_(codec.extradata, codec.extradata ? static_cast<std::size_t>(codec.extradata_size) : 0) {
    if (!hevc_ && extradata_.size() >= 7 && extradata_[0] == 1) length_bytes_ = (extradata_[4] & 3) + 1;
    const bool annex_b =
        extradata_.size() >= 3 && extradata_[0] == 0 && extradata_[1] == 0 && extradata_[2] <= 1;
    if (hevc_ && extradata_.size() >= 23 && !annex_b) length_bytes_ = (extradata_[21] & 3) + 1;
}

int NalSplitter::type_of(Bytes unit) const noexcept {
    return hevc_ ? (unit[0] >> 1) & 0x3F : unit[0] & 0x1F;
}

bool NalSplitter::whole_lengths(Bytes packet) const noexcept {
    std::size_t at = 0;
    while (at + length_bytes_ <= packet.size()) {
        const std::size_t length = read_length(packet, at, length_bytes_);
        at += length_bytes_;
        if (length > packet.size() - at) return false;
        at += length;
    }
    return at == packet.size();
}

bool NalSplitter::for_each(Bytes packet, const std::function<bool(Bytes, int)>& visit) const {
    if (length_bytes_ == 0 || !whole_lengths(packet))
        return (length_bytes_ == 0 || find_start_code(packet, 0) <= 1) &&
               split_annex_b(packet, [&](Bytes unit) { return visit(unit, type_of(unit)); });
    std::size_t at = 0;
    while (at < packet.size()) {
        const std::size_t length = read_length(packet, at, length_bytes_);
        at += length_bytes_;
        const Bytes unit = packet.subspan(at, length);
        if (length && !visit(unit, type_of(unit))) return true;
        at += length;
    }
    return true;
}

void NalSplitter::for_each_in_extradata(const std::function<bool(Bytes, int)>& visit) const {
    if (length_bytes_ == 0)
        split_annex_b(extradata_, [&](Bytes unit) { return visit(unit, type_of(unit)); });
    else
        split_configuration(visit);
}

// AVCDecoderConfigurationRecord and HEVCDecoderConfigurationRecord; stops quietly where they are cut short.
void NalSplitter::split_configuration(const std::function<bool(Bytes, int)>& visit) const {
    std::size_t at = hevc_ ? 23 : 5;
    const auto read_units = [&](std::size_t count) {
        for (; count > 0 && at + 2 <= extradata_.size(); --count) {
            const std::size_t length = read_length(extradata_, at, 2);
            at += 2;
            if (length > extradata_.size() - at) return;
            const Bytes unit = extradata_.subspan(at, length);
            if (length) visit(unit, type_of(unit));
            at += length;
        }
    };
    if (!hevc_) {
        read_units(extradata_[at++] & 0x1F);
        if (at < extradata_.size()) read_units(extradata_[at++]);
        return;
    }
    for (int arrays = extradata_[22]; arrays > 0 && at + 3 <= extradata_.size(); --arrays) {
        const std::size_t count = read_length(extradata_, at + 1, 2);
        at += 3;
        read_units(count);
    }
}

bool has_exact_recovery_point(Bytes sei_unit) {
    const std::vector<std::uint8_t> bytes = raw_payload(sei_unit, 1, sei_unit.size());
    const auto read_number = [&](std::size_t& at) {
        std::size_t value = 0;
        while (at < bytes.size() && bytes[at] == 0xFF) value += bytes[at++];
        return value + (at < bytes.size() ? bytes[at++] : 0);
    };
    std::size_t at = 0;
    while (at + 2 < bytes.size()) {
        const std::size_t type = read_number(at), size = read_number(at);
        if (type == 6) return exp_golomb(bytes, at * 8) == 0;
        at += size;
    }
    return false;
}

bool ParameterSets::is_set(int type) const noexcept {
    return hevc_ ? type >= hevc::vps && type <= hevc::pps : type == h264::sps || type == h264::pps;
}

// HEVC sequence sets all count as id 0: their id lies behind a long header, and taking two sets for one only
// costs cuts.
ParameterSets::Key ParameterSets::key_of(Bytes unit, int type) const {
    const std::vector<std::uint8_t> bytes = raw_payload(unit, hevc_ ? 2 : 1, 16);
    if (hevc_ && type == hevc::vps) return {type, bytes.empty() ? 0U : bytes[0] >> 4U};
    if (hevc_ && type == hevc::sps) return {type, 0};
    return {type, exp_golomb(bytes, !hevc_ && type == h264::sps ? 24 : 0)};
}

void ParameterSets::add_initial(Bytes unit, int type) {
    if (is_set(type)) initial_[key_of(unit, type)] = hash_of(unit);
}

void ParameterSets::add(Bytes unit, int type) {
    const Key key = key_of(unit, type);
    current_[key] = in_packet_[key] = hash_of(unit);
}

bool ParameterSets::complete() const {
    return std::all_of(current_.begin(), current_.end(), [&](const auto& set) {
        const auto known = initial_.find(set.first);
        return (known != initial_.end() && known->second == set.second) || in_packet_.contains(set.first);
    });
}

}  // namespace divs::video
