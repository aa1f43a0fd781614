// Leases: who may drive a run or decide, and whether that process still lives.

#include <cerrno>
#include <csignal>
#include <sys/stat.h>
#include <unistd.h>

#include "adapters/sqlite/run_store.hpp"

namespace signalbox::sqlite {
namespace {

constexpr std::uint64_t proc_file_max_bytes = 1 << 16;

std::int64_t to_ns(base::WallTime time) { return time.time_since_epoch().count(); }

std::string boot_id() {
    const auto text = base::read_file("/proc/sys/kernel/random/boot_id", proc_file_max_bytes);
    return text ? std::string(base::trim(*text)) : "unknown";
}

std::string pid_namespace() {
    struct stat found {};
    return ::stat("/proc/self/ns/pid", &found) == 0 ? std::to_string(found.st_ino) : "unknown";
}

// When the process started, in clock ticks since boot (field 22 of /proc/PID/stat; proc(5)); empty if there is none.
std::string start_ticks(const std::string& pid) {
    const auto stat = base::read_file("/proc/" + pid + "/stat", proc_file_max_bytes);
    if (!stat) return {};
    // The second field, the command's name in parentheses, may hold blanks and parentheses itself.
    const std::size_t after_name = stat->rfind(')');
    if (after_name == std::string::npos) return {};
    const auto fields = base::split(std::string_view(*stat).substr(after_name + 1), ' ');
    constexpr std::size_t start_time = 20;  // counted from the blank after the name
    // A zombie does nothing more.
    if (fields.size() <= start_time || fields[1] == "Z") return {};
    return std::string(fields[start_time]);
}

}  // namespace

std::string lease_owner() {
    const std::string pid = std::to_string(::getpid());
    return fmt::format("{}:{}:{}:{}", boot_id(), pid_namespace(), pid, start_ticks(pid));
}

bool owner_may_live(const std::string& owner) {
    const auto parts = base::split(owner, ':');
    if (parts.size() != 4 || !base::parse_uint(parts[2])) return true;
    // Another boot of this host ended all its processes; but another host may have written it, so it is left to expire.
    // A process of another PID namespace can't be seen from here.
    if (parts[0] != boot_id() || parts[1] != pid_namespace()) return true;
    return start_ticks(std::string(parts[2])) == parts[3];
}

base::Result<bool> RunStore::acquire(const std::string& thing, const std::string& owner, base::WallTime now,
                                     base::Duration time) {
    bool acquired = false;
    SB_CHECK(database_->transaction(false, [&]() -> base::Status {
        SB_TRY(auto holder, database_->prepare("SELECT owner, expires_ns FROM leases WHERE thing = ?"));
        holder.bind(1, thing);
        SB_TRY(const bool held, holder.step());
        const bool by_other = held && holder.text(0) != owner && holder.integer(1) > to_ns(now);
        if (by_other && owner_may_live(holder.text(0))) return {};
        SB_TRY(auto statement, database_->prepare("INSERT INTO leases (thing, owner, expires_ns) VALUES (?1, ?2, ?3)"
                                                  " ON CONFLICT (thing) DO UPDATE SET owner = ?2, expires_ns = ?3"));
        statement.bind(1, thing).bind(2, owner).bind(3, to_ns(now + time));
        SB_CHECK(statement.run());
        acquired = true;
        return {};
    }));
    return acquired;
}

base::Status RunStore::release(const std::string& thing, const std::string& owner) {
    return database_->transaction(false, [&]() -> base::Status {
        SB_TRY(auto statement, database_->prepare("DELETE FROM leases WHERE thing = ? AND owner = ?"));
        statement.bind(1, thing).bind(2, owner);
        return statement.run();
    });
}

}  // namespace signalbox::sqlite
