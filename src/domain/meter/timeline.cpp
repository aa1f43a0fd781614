#include "domain/meter/timeline.hpp"

#include <algorithm>

#include "base/assert.hpp"

namespace signalbox::meter {
namespace {

struct Bin {
    Shade shade = Shade::Nothing;
    std::uint64_t operations = 0;
};

Shade shade_of(const Sample& sample, Duration waited_min) {
    if (sample.outcome == Outcome::Unknown) return Shade::Unknown;
    if (is_read_only_refusal(sample.code)) return Shade::Refused;
    if (sample.outcome == Outcome::Failed) return Shade::Failed;
    return sample.completed_at - sample.sent_at >= waited_min ? Shade::Waited : Shade::Ok;
}

// Short times between two operations belong to the one before them; long ones stay empty.
void fill_gaps(std::vector<Bin>& bins, std::size_t gap_max) {
    std::size_t last = bins.size();  // the last bin with a shade
    for (std::size_t i = 0; i < bins.size(); ++i) {
        if (bins[i].shade == Shade::Nothing) continue;
        if (last < i && i - last - 1 <= gap_max) {
            for (std::size_t j = last + 1; j < i; ++j) bins[j].shade = bins[last].shade;
        }
        last = i;
    }
    if (last == bins.size()) return;
    // The edges of the stretch fall between two operations as well.
    const auto first =
        std::find_if(bins.begin(), bins.end(), [](const Bin& bin) { return bin.shade != Shade::Nothing; });
    if (static_cast<std::size_t>(first - bins.begin()) <= gap_max) {
        std::for_each(bins.begin(), first, [&](Bin& bin) { bin.shade = first->shade; });
    }
    if (bins.size() - last - 1 <= gap_max) {
        for (std::size_t i = last + 1; i < bins.size(); ++i) bins[i].shade = bins[last].shade;
    }
}

std::vector<Piece> pieces_of(const Recording& recording, std::size_t path, Kind kind, MonoTime from, MonoTime to,
                             std::size_t count) {
    const Duration width = std::max<Duration>((to - from) / static_cast<std::int64_t>(count), Duration(1));
    const Duration waited_min = std::max<Duration>(5 * recording.interval, std::chrono::milliseconds(50));
    std::vector<Bin> bins(count);
    const auto bin_at = [&](MonoTime time) {
        return static_cast<std::size_t>(
            std::clamp<std::int64_t>((time - from) / width, 0, static_cast<std::int64_t>(count) - 1));
    };
    for (const Sample& sample : recording.samples) {
        if (sample.path != path || sample.kind != kind || sample.completed_at < from || sample.sent_at >= to) continue;
        const Shade shade = shade_of(sample, waited_min);
        const std::size_t last = bin_at(sample.completed_at);
        for (std::size_t i = bin_at(sample.sent_at); i <= last; ++i) bins[i].shade = std::max(bins[i].shade, shade);
        ++bins[last].operations;
    }
    fill_gaps(bins, static_cast<std::size_t>(3 * recording.interval / width) + 1);
    std::vector<Piece> pieces;
    for (std::size_t i = 0; i < count; ++i) {
        const MonoTime start = from + width * static_cast<std::int64_t>(i);
        const MonoTime end = i + 1 == count ? to : start + width;
        if (pieces.empty() || pieces.back().shade != bins[i].shade) {
            pieces.push_back(Piece{start, end, bins[i].shade, bins[i].operations});
        } else {
            pieces.back().to = end;
            pieces.back().operations += bins[i].operations;
        }
    }
    return pieces;
}

}  // namespace

std::vector<Piece> bar_of(const Recording& recording, std::size_t path, Kind kind, MonoTime from, MonoTime to,
                          std::size_t bins, std::size_t pieces_max) {
    SB_ASSERT(from < to && bins > 0 && pieces_max > 0, "a bar has a length and a bound");
    for (std::size_t count = bins;; count = count / 2) {
        std::vector<Piece> pieces = pieces_of(recording, path, kind, from, to, std::max<std::size_t>(count, 1));
        if (pieces.size() <= pieces_max || count <= 1) return pieces;
    }
}

}  // namespace signalbox::meter
