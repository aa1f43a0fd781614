#include "adapters/iceberg/local_files.hpp"

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/iceberg/metadata_folder.hpp"
#include "base/text.hpp"

namespace signalbox::iceberg {

using base::Error;
using base::ErrorKind;
using base::fail;
using base::in_context;
using base::Result;
namespace fs = std::filesystem;

namespace {

class Descriptor {
  public:
    explicit Descriptor(const std::string& path) : fd_(::open(path.c_str(), O_RDONLY | O_CLOEXEC | O_NONBLOCK)) {}
    ~Descriptor() {
        if (fd_ >= 0) ::close(fd_);
    }
    Descriptor(const Descriptor&) = delete;
    Descriptor& operator=(const Descriptor&) = delete;
    int get() const { return fd_; }

  private:
    int fd_;
};

tl::unexpected<Error> system_error(const std::string& path, int code) {
    ErrorKind kind = ErrorKind::Unavailable;
    if (code == ENOENT || code == ENOTDIR) kind = ErrorKind::NotFound;
    if (code == EACCES || code == EPERM) kind = ErrorKind::PermissionDenied;
    if (code == ELOOP || code == ENAMETOOLONG) kind = ErrorKind::CorruptData;
    return tl::unexpected<Error>(Error{kind, fmt::format("cannot read: {}", std::strerror(code)), path, code});
}

bool is_below(const std::string& path, const std::string& root) {
    return path.starts_with(root) && (root.ends_with('/') || path.size() == root.size() || path[root.size()] == '/');
}

// By what the kernel says that was opened: a symlink that changes meanwhile deceives nobody.
base::Status check_below(int fd, const std::string& path, const std::vector<std::string>& roots) {
    std::error_code error;
    const std::string real = fs::read_symlink(fmt::format("/proc/self/fd/{}", fd), error).string();
    if (error) return fail(ErrorKind::Unavailable, "{}: cannot tell where it lies: {}", path, error.message());
    for (const std::string& root : roots) {
        const std::string real_root = fs::canonical(root, error).string();
        if (!error && is_below(real, real_root)) return {};
    }
    return fail(ErrorKind::CorruptData,
                "'{}' leads to '{}', which leaves the table's folder; it is not read (allow_outside would)", path,
                real);
}

tl::unexpected<Error> too_large(const std::string& path, std::uint64_t size_max_bytes) {
    return in_context(Error{ErrorKind::CorruptData,
                            fmt::format("is larger than {} bytes, the most that is read", size_max_bytes),
                            {},
                            0},
                      path);
}

}  // namespace

Result<std::string> local_path(const TablePlace& place, const std::string& uri) {
    const std::string location = plain_uri(place.location);
    const std::string plain = plain_uri(uri);
    if (location.empty() || !plain.starts_with(location + "/")) {
        return fail(ErrorKind::CorruptData, "'{}' is not below the table's location '{}'; it is not read",
                    uri.substr(0, 300), place.location.substr(0, 300));
    }
    const std::string relative = plain.substr(location.size() + 1);
    for (const std::string_view part : base::split(relative, '/')) {
        if (part == ".." || part.find('\0') != std::string_view::npos) {
            return fail(ErrorKind::CorruptData, "'{}' leaves the table's folder; it is not read", uri.substr(0, 300));
        }
    }
    constexpr std::string_view own = "metadata/";
    if (relative.starts_with(own)) return (fs::path(place.metadata_folder) / relative.substr(own.size())).string();
    return (fs::path(place.folder) / relative).string();
}

Result<std::string_view> read_local_into(const std::string& path, std::uint64_t size_max_bytes,
                                         const std::vector<std::string>& roots, std::string& room) {
    const Descriptor file(path);
    if (file.get() < 0) return system_error(path, errno);
    struct stat status {};
    if (::fstat(file.get(), &status) != 0) return system_error(path, errno);
    if (!S_ISREG(status.st_mode)) return fail(ErrorKind::CorruptData, "{}: is no regular file; it is not read", path);
    if (!roots.empty()) SB_CHECK(check_below(file.get(), path, roots));
    if (static_cast<std::uint64_t>(status.st_size) > size_max_bytes) return too_large(path, size_max_bytes);
    std::size_t used = 0;
    // One byte more than it says, so that the end is seen without growing.
    const std::size_t wanted = static_cast<std::size_t>(status.st_size) + 1;
    if (room.size() < wanted) room.resize(wanted);
    for (;;) {
        const ssize_t count = ::read(file.get(), room.data() + used, room.size() - used);
        if (count < 0 && errno == EINTR) continue;
        if (count < 0) return system_error(path, errno);
        used += static_cast<std::size_t>(count);
        if (used > size_max_bytes) return too_large(path, size_max_bytes);
        if (count == 0) break;
        if (used == room.size()) room.resize(room.size() * 2);
    }
    return std::string_view(room).substr(0, used);
}

Result<std::string> read_local(const std::string& path, std::uint64_t size_max_bytes,
                               const std::vector<std::string>& roots) {
    std::string content;
    SB_TRY(const std::string_view bytes, read_local_into(path, size_max_bytes, roots, content));
    content.resize(bytes.size());
    return content;
}

Result<std::string> LocalFiles::path_of(const std::string& uri) const {
    auto path = local_path(place_, uri);
    if (path || !allow_outside_) return path;
    return path_of_uri(uri);
}

Result<std::string> LocalFiles::read(const std::string& uri, std::uint64_t size_max_bytes) {
    std::string content;
    SB_TRY(const std::string_view bytes, read_into(uri, size_max_bytes, content));
    content.resize(bytes.size());
    return content;
}

Result<std::string_view> LocalFiles::read_into(const std::string& uri, std::uint64_t size_max_bytes,
                                               std::string& room) {
    SB_TRY(const std::string path, path_of(uri));
    ++requests_;
    const std::vector<std::string> roots = {place_.folder, place_.metadata_folder};
    auto content = read_local_into(path, size_max_bytes, allow_outside_ ? std::vector<std::string>{} : roots, room);
    if (content) bytes_ += content->size();
    return content;
}

}  // namespace signalbox::iceberg
