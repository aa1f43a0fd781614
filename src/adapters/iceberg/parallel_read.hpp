#pragma once
// Manifests read by several threads at once and handed over in their order, so that whoever adds them up gets the same
// answer, and the same first error, whatever the number of threads is.

#include <cstddef>
#include <functional>
#include <string>

#include "base/error.hpp"
#include "domain/lake/aggregate.hpp"

namespace signalbox::iceberg {

// What a thread keeps from one manifest to the next.
struct ReadRoom {
    std::string file;  // its bytes, while they are read
};

struct ReadAggregate {
    lake::ManifestAggregate aggregate;
    std::uint64_t bytes = 0;  // of the file
};

using ReadOne = std::function<base::Result<ReadAggregate>(std::size_t index, ReadRoom& room)>;
using TakeOne = std::function<base::Status(ReadAggregate)>;

// Calls read_one for 0 … count − 1, on up to `threads` threads (0: one per core), and take_one for each result, in
// order, on the calling thread. The first error, in this order, of either ends it: no thread is left when this returns.
// At most a few results per thread wait to be taken. Where no thread can be had, the calling thread reads.
base::Status read_in_parallel(std::size_t count, unsigned threads, const ReadOne& read_one, const TakeOne& take_one);

}  // namespace signalbox::iceberg
