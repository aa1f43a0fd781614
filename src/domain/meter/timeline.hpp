#pragma once
// A bar of a timeline picture: what was so on one path, for one kind of operation, over a stretch of time, in few
// pieces however many samples there are.

#include <array>
#include <cstddef>
#include <vector>

#include "domain/meter/sample.hpp"

namespace signalbox::meter {

// In order of precedence: where several fall on the same spot, the last one here is shown.
enum class Shade : std::uint8_t { Nothing, Ok, Waited, Refused, Failed, Unknown };

struct Piece {
    MonoTime from{};
    MonoTime to{};
    Shade shade = Shade::Nothing;
    std::uint64_t operations = 0;  // that ended in it
};

// Waited: a good operation that took five intervals or more (at least 50 ms). The stretch [from, to) is cut into at
// most `bins` equal bins; the bins grow wider until at most `pieces_max` pieces remain. Pieces are in order and cover
// the stretch.
std::vector<Piece> bar_of(const Recording& recording, std::size_t path, Kind kind, MonoTime from, MonoTime to,
                          std::size_t bins, std::size_t pieces_max);

}  // namespace signalbox::meter
