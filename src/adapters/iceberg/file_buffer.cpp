#include "adapters/iceberg/file_buffer.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/stat.h>
#include <unistd.h>

namespace signalbox::iceberg {

using base::Error;
using base::ErrorKind;

namespace {

struct Descriptor {
    int number = -1;
    ~Descriptor() {
        if (number >= 0) ::close(number);
    }
};

tl::unexpected<Error> cannot_read(const std::string& path) {
    const int code = errno;
    return tl::unexpected<Error>(
        Error{ErrorKind::Unavailable, fmt::format("cannot read: {}", std::strerror(code)), path, code});
}

}  // namespace

base::Result<std::string_view> FileBuffer::read(const std::string& path, std::uint64_t size_max_bytes) {
    const Descriptor file{::open(path.c_str(), O_RDONLY | O_CLOEXEC)};
    struct stat status {};
    if (file.number < 0 || ::fstat(file.number, &status) != 0) return cannot_read(path);
    // What the file says of its size is only a guess: it may grow, and some files say nothing.
    const std::uint64_t guess = std::min<std::uint64_t>(static_cast<std::uint64_t>(status.st_size), size_max_bytes);
    reserve(static_cast<std::size_t>(guess) + 1, 0);
    std::size_t size = 0;
    for (;;) {
        if (size == capacity_) reserve(2 * capacity_, size);
        const ssize_t count = ::read(file.number, bytes_.get() + size, capacity_ - size);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return cannot_read(path);
        if (count == 0) return std::string_view(bytes_.get(), size);
        size += static_cast<std::size_t>(count);
        if (size > size_max_bytes) {
            return tl::unexpected<Error>(
                Error{ErrorKind::InvalidArgument,
                      fmt::format("is larger than {} bytes, the most that is read", size_max_bytes), path, 0});
        }
    }
}

void FileBuffer::reserve(std::size_t size, std::size_t used) {
    if (size <= capacity_) return;
    // A little more than asked for, so that files of nearly the same size do not each ask anew.
    const std::size_t capacity = size + size / 8 + 4096;
    std::unique_ptr<char[]> larger(new char[capacity]);
    if (used > 0) std::memcpy(larger.get(), bytes_.get(), used);
    bytes_ = std::move(larger);
    capacity_ = capacity;
}

}  // namespace signalbox::iceberg
