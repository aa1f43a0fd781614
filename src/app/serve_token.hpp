#pragma once
// Files that only the daemon's user may read or hold: the API's token, and the lock of the store.

#include <string>

#include "base/error.hpp"

namespace signalbox::app {

// The token in the file, or a new random one (256 bits, hexadecimal) written to it with mode 0600. Errors: a file that
// others can read or that holds no token (PermissionDenied, InvalidConfig), a folder that can't be written.
base::Result<std::string> load_or_make_token(const std::string& path);

// Held as long as it lives, given back by the kernel however the process ends.
class StoreLock {
  public:
    // Conflict if another process holds it; the text names the process.
    static base::Result<StoreLock> take(const std::string& store);
    StoreLock(StoreLock&& other) noexcept : fd_(other.fd_) { other.fd_ = -1; }
    StoreLock& operator=(StoreLock&&) = delete;
    ~StoreLock();

  private:
    explicit StoreLock(int fd) : fd_(fd) {}
    int fd_;
};

}  // namespace signalbox::app
