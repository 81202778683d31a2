#include <algorithm>
#include <optional>
#include <string_view>

#include "codec_bytes.hpp"
#include "demuxer.hpp"
#include "fingerprint.hpp"
#include "packet_source.hpp"

namespace divs::video {
namespace {

// Positions say which packet it is; dts do where the container gives no positions. pts may have been made. In
// MP4 edit lists can repeat a packet, and dts are exact; elsewhere libav derives dts from what it read
// before.
bool same_packet(const AVPacket& packet, const PacketInfo& info, bool exact_dts) noexcept {
    if (packet.size != info.size) return false;
    const bool positions = packet.pos >= 0 || info.position >= 0;
    return positions ? packet.pos == info.position && (!exact_dts || packet.dts == info.dts)
                     : packet.dts == info.dts;
}

enum class Seek { by_time, by_byte, none };

Seek seek_of(std::string_view container) {
    for (const std::string_view name : {"mpegts", "mpeg", "flv", "h264", "hevc", "mpegvideo", "m4v"})
        if (container == name) return Seek::by_byte;
    for (const std::string_view name : {"mov", "matroska", "avi", "asf", "ogg", "nut"})
        if (container.starts_with(name)) return Seek::by_time;
    return Seek::none;
}

// Reads the indexed packets of a shard from its file. Every packet is compared with the index, and gets its
// times from there: what libav derives can differ behind a seek. Where the packet that is due does not come,
// the file is opened anew, looked at as when it was indexed, and read from its start; only if it still does
// not come, the file changed.
class FileSource final : public PacketSource {
  public:
    FileSource(const VideoIndex& index, const Shard& shard, const OpenLimits& limits)
        : index_(index),
          limits_(limits),
          next_(shard.first_packet - shard.preroll_packets),
          end_(shard.end_packet),
          spare_(make_packet()) {
        require_same_file();
        stream_.path = index.path;
        stream_.codec = unpack_codec(index.decoder_setup, index.path);
        stream_.time_base = index.time_base;
        stream_.first_pts = index.first_pts();
        stream_.numbered = index.numbered;
        stream_.packets.assign(index.packets.begin() + next_, index.packets.begin() + end_);
        stream_.preroll_packets = shard.preroll_packets;
        file_.emplace(index.path, limits, index.stream);
        if (next_ > 0 && !seek_to_start()) read_to_start();
    }

    const ShardStream& stream() const noexcept override { return stream_; }

    bool next(AVPacket& packet) override {
        if (next_ == end_) return false;
        if (waiting_) {
            waiting_ = false;
            av_packet_unref(&packet);
            av_packet_move_ref(&packet, spare_.get());
        } else if (!file_->read(packet) || !is_packet(packet, next_)) {
            if (as_indexed_) changed(next_);
            read_to_start();
            if (!file_->read(packet) || !is_packet(packet, next_)) changed(next_);
        }
        const PacketInfo& info = index_.packets[next_];
        packet.pts = info.pts;
        packet.dts = info.dts;
        packet.duration = info.duration;
        ++next_;
        return true;
    }

  private:
    void require_same_file() const {
        const FileState state = file_state(index_.path);
        if (state.bytes == index_.file_bytes && state.modified_ns == index_.modified_ns) return;
        // Another host's clock, or a copy: only the content counts.
        if (state.bytes != index_.file_bytes || fingerprint(index_.path, state.bytes) != index_.fingerprint)
            throw_error<InputError>(
                "{}: changed since it was indexed ({} bytes, expected {}): index it again", index_.path,
                state.bytes, index_.file_bytes);
    }

    [[noreturn]] void changed(std::uint32_t packet) const {
        throw_error<InputError>("{}: packet {} at {:.3f} s is not the one that was indexed: {}", index_.path,
                                packet, index_.seconds(index_.packets[packet].pts),
                                file_->stopped().empty() ? "the file changed" : file_->stopped());
    }

    // Reads from the file's start, opened as when it was indexed, up to the packet that is due.
    void read_to_start() {
        file_.emplace(index_.path, limits_);
        as_indexed_ = true;
        for (std::uint32_t i = 0; i < next_; ++i)
            if (!file_->read(*spare_) || !is_packet(*spare_, i)) changed(i);
    }

    bool seek() {
        const PacketInfo& due = index_.packets[next_];
        switch (seek_of(index_.container)) {
            case Seek::by_time:
                return file_->seek_time(due.dts != AV_NOPTS_VALUE ? due.dts : due.pts);
            case Seek::by_byte:
                return seek_bytes();
            case Seek::none:
                break;
        }
        return false;
    }

    // To a few packets before the due one: a parser that lands inside a packet first gives what is left of
    // it.
    bool seek_bytes() {
        constexpr std::uint32_t run_up = 4;
        std::uint32_t from = next_ > run_up ? next_ - run_up : 0;
        while (from > 0 && index_.packets[from].position < 0) --from;
        return index_.packets[from].position >= 0 && file_->seek_byte(index_.packets[from].position);
    }

    // Seeks and reads on until the packet that is due, which then waits in spare_. False where it does not
    // come.
    bool seek_to_start() {
        if (!seek()) return false;
        constexpr int most_unknown = 64;
        const std::int64_t due = index_.packets[next_].position;
        int unknown = 0;
        while (file_->read(*spare_)) {
            if (is_packet(*spare_, next_)) return waiting_ = true;
            if (due >= 0 && spare_->pos > due) return false;
            if (!is_earlier(*spare_) && ++unknown > most_unknown) return false;
        }
        return false;
    }

    bool is_earlier(const AVPacket& packet) const {
        for (std::uint32_t i = next_; i-- > 0;)
            if (is_packet(packet, i)) return true;
        return false;
    }

    // In MP4, edit lists repeat packets: once to be shown, and once, marked, only to be decoded.
    bool is_packet(const AVPacket& packet, std::uint32_t number) const {
        const PacketInfo& info = index_.packets[number];
        if ((packet.flags & AV_PKT_FLAG_DISCARD) && info.shown) return false;
        return same_packet(packet, info, index_.container.starts_with("mov"));
    }

    const VideoIndex& index_;
    const OpenLimits limits_;
    std::uint32_t next_, end_;  // packets of the file
    std::optional<Demuxer> file_;
    PacketHandle spare_;
    bool waiting_ = false;
    bool as_indexed_ = false;  // read from its start, opened as when it was indexed
    ShardStream stream_;
};

}  // namespace

std::unique_ptr<PacketSource> file_source(const VideoIndex& index, const Shard& shard,
                                          const OpenLimits& limits) {
    if (!index.quarantine.empty())
        throw_error<InputError>("{}: quarantined: {}", index.path, index.quarantine);
    if (shard.first_packet >= shard.end_packet || shard.end_packet > index.packets.size() ||
        shard.preroll_packets > shard.first_packet)
        throw_error<InputError>("{}: no packets {} to {} (preroll {}) in an index of {}", index.path,
                                shard.first_packet, shard.end_packet, shard.preroll_packets,
                                index.packets.size());
    return std::make_unique<FileSource>(index, shard, limits);
}

}  // namespace divs::video
