#include "app/result_file.hpp"

#include <cerrno>
#include <cstdio>
#include <cstring>
#include <memory>

namespace signalbox::app {

using base::ErrorKind;
using base::fail;

base::Status write_file(const std::string& path, const std::string& text) {
    const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "w"), &std::fclose);
    if (!file || std::fwrite(text.data(), 1, text.size(), file.get()) != text.size() || std::fflush(file.get()) != 0) {
        return fail(ErrorKind::Unavailable, "can't write {}: {}", path, std::strerror(errno));
    }
    return {};
}

base::Status check_writable(const std::string& path) {
    if (path.empty()) return {};
    const std::unique_ptr<FILE, int (*)(FILE*)> file(std::fopen(path.c_str(), "a"), &std::fclose);
    if (file) return {};
    return fail(ErrorKind::InvalidArgument, "can't write {}: {}", path, std::strerror(errno));
}

}  // namespace signalbox::app
