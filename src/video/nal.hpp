// H.264 and HEVC network abstraction layer units: what is in a packet, without decoding it.
// Sources: ITU-T H.264 7.3, 7.4.1, D.1.8; H.265 7.3, 7.4.2; ISO/IEC 14496-15 5.3, 8.3 (length-prefixed form).
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <span>

#include "av.hpp"

namespace divs::video {

using Bytes = std::span<const std::uint8_t>;

namespace h264 {
enum NalType : int { slice = 1, partition_a = 2, idr = 5, sei = 6, sps = 7, pps = 8 };
}
namespace hevc {
enum NalType : int {
    rasl_n = 8,
    rasl_r = 9,
    bla_w_lp = 16,
    bla_n_lp = 18,
    idr_w_radl = 19,
    idr_n_lp = 20,
    cra = 21,
    first_non_picture = 32,
    vps = 32,
    sps = 33,
    pps = 34,
    end_of_sequence = 36,
    end_of_bitstream = 37
};
}

// Splits packets of one stream into NAL units, whichever form they have: length-prefixed as its extradata
// says, or Annex B. Some files mix both.
class NalSplitter {
  public:
    explicit NalSplitter(const AVCodecParameters& codec);

    // Calls visit(unit, type) for each unit (header included) until it says false. False where the packet is
    // not a whole number of units: damaged.
    bool for_each(Bytes packet, const std::function<bool(Bytes unit, int type)>& visit) const;

    // The parameter sets in the stream's extradata.
    void for_each_in_extradata(const std::function<bool(Bytes unit, int type)>& visit) const;

  private:
    int type_of(Bytes unit) const noexcept;
    bool whole_lengths(Bytes packet) const noexcept;
    void split_configuration(const std::function<bool(Bytes unit, int type)>& visit) const;

    bool hevc_;
    int length_bytes_ = 0;  // 0: Annex B
    Bytes extradata_;
};

// True for a recovery point message (payload type 6) with recovery_frame_cnt 0 among the messages of an SEI
// unit: every picture from here on, in output order, decodes correctly.
bool has_exact_recovery_point(Bytes sei_unit);

// Follows the parameter sets of a stream, to know whether a decoder that starts at a packet has those it
// needs.
class ParameterSets {
  public:
    explicit ParameterSets(bool hevc) : hevc_(hevc) {}

    bool is_set(int type) const noexcept;
    void add_initial(Bytes unit, int type);  // known to every decoder from the extradata
    void begin_packet() { in_packet_.clear(); }
    void add(Bytes unit, int type);
    // After the packet's units: whether all sets in force are either the initial ones or in this packet.
    bool complete() const;

  private:
    using Key = std::pair<int, unsigned>;  // type, id
    Key key_of(Bytes unit, int type) const;

    bool hevc_;
    std::map<Key, std::uint64_t> initial_, current_, in_packet_;
};

}  // namespace divs::video
