#include "app/serve_token.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <sys/file.h>
#include <sys/random.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/text.hpp"

namespace signalbox::app {
namespace {

using base::ErrorKind;
using base::fail;

constexpr std::size_t token_bytes = 32;
constexpr std::size_t token_size_min = 32;

base::Result<std::string> make_token(const std::string& path) {
    std::string random(token_bytes, '\0');
    if (::getrandom(random.data(), random.size(), 0) != static_cast<ssize_t>(random.size())) {
        return fail(ErrorKind::Internal, "no random bytes for the API's token: {}", std::strerror(errno));
    }
    const std::string token = base::to_hex(random);
    const std::string text = token + "\n";
    const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC | O_NOFOLLOW, 0600);
    if (fd < 0) return fail(ErrorKind::Unavailable, "{}: can't write the API's token: {}", path, std::strerror(errno));
    const bool written = ::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size());
    const int reason = errno;
    ::close(fd);
    if (!written) {
        ::unlink(path.c_str());
        return fail(ErrorKind::Unavailable, "{}: can't write the API's token: {}", path, std::strerror(reason));
    }
    return token;
}

}  // namespace

base::Result<std::string> load_or_make_token(const std::string& path) {
    struct stat file {};
    if (::stat(path.c_str(), &file) != 0) return make_token(path);
    if (!S_ISREG(file.st_mode) || (file.st_mode & 077) != 0 || file.st_uid != ::geteuid()) {
        return fail(ErrorKind::PermissionDenied,
                    "{}: the token file must be a file of this user with mode 0600: chmod it, or remove it to get a "
                    "new token",
                    path);
    }
    SB_TRY(const std::string text, base::read_file(path, 4096));
    const std::string token(base::trim(text));
    if (token.size() < token_size_min) {
        return fail(ErrorKind::InvalidConfig,
                    "{}: expected a token of at least {} characters, found {}: remove the file to get a new token",
                    path, token_size_min, token.size());
    }
    return token;
}

base::Result<StoreLock> StoreLock::take(const std::string& store) {
    const std::string path = store + ".lock";
    const int fd = ::open(path.c_str(), O_RDWR | O_CREAT | O_CLOEXEC, 0600);
    if (fd < 0) return fail(ErrorKind::Unavailable, "{}: can't be opened: {}", path, std::strerror(errno));
    StoreLock lock(fd);
    if (::flock(fd, LOCK_EX | LOCK_NB) != 0) {
        char holder[32] = {};
        const ssize_t size = ::pread(fd, holder, sizeof holder - 1, 0);
        return fail(ErrorKind::Conflict,
                    "{}: another signalbox{}{} serves with this store: stop it, or give this one a store of its own",
                    store, size > 0 ? ", process " : "",
                    base::trim({holder, static_cast<std::size_t>(std::max<ssize_t>(size, 0))}));
    }
    const std::string pid = fmt::format("{}\n", ::getpid());
    // Only for the error text of the other one: the lock is the flock, not the number.
    if (::ftruncate(fd, 0) == 0) [[maybe_unused]]
        const auto ignored = ::pwrite(fd, pid.data(), pid.size(), 0);
    return lock;
}

StoreLock::~StoreLock() {
    if (fd_ >= 0) ::close(fd_);
}

}  // namespace signalbox::app
