#include "adapters/process/run_files.hpp"

#include <cerrno>
#include <cstring>
#include <fcntl.h>
#include <filesystem>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/process/supervisor_files.hpp"

namespace signalbox::process {

using base::ErrorKind;
using base::fail;

base::Status RunFiles::make(const std::string& directory) {
    std::error_code error;
    std::filesystem::create_directories(directory, error);
    if (error) return fail(ErrorKind::Unavailable, "{}: cannot make the run's folder: {}", directory, error.message());
    // Logs may hold what the job's own secrets open.
    if (::chmod(directory.c_str(), 0700) != 0)
        return fail(ErrorKind::Unavailable, "{}: cannot make it private: {}", directory, std::strerror(errno));
    return {};
}

std::string RunFiles::log_tail(const std::string& directory, int rank, std::size_t bytes_max) {
    const int fd = ::open(log_path(directory, rank).c_str(), O_RDONLY | O_CLOEXEC);
    if (fd < 0) return {};
    const off_t size = ::lseek(fd, 0, SEEK_END);
    const off_t begin = std::max<off_t>(0, size - static_cast<off_t>(bytes_max));
    std::string tail(static_cast<std::size_t>(std::max<off_t>(0, size - begin)), '\0');
    std::size_t got = 0;
    while (got < tail.size()) {
        const ssize_t read = ::pread(fd, tail.data() + got, tail.size() - got, begin + static_cast<off_t>(got));
        if (read <= 0) break;
        got += static_cast<std::size_t>(read);
    }
    ::close(fd);
    tail.resize(got);
    return tail;
}

}  // namespace signalbox::process
