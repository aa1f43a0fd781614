#include "app/serve_journal.hpp"

#include <spdlog/spdlog.h>

namespace signalbox::app {
namespace {

void say(const ports::JournalEntry& entry) {
    const auto level = entry.kind == "alarm" ? spdlog::level::warn : spdlog::level::info;
    const std::string epoch = entry.epoch == 0 ? "" : fmt::format(" epoch {}", entry.epoch);
    spdlog::log(level, "{}: {}{} {}", entry.subject, entry.kind, epoch, base::json::serialize(entry.data));
}

void say(const base::Error& error) { spdlog::error("not recorded: {}", error.text()); }

}  // namespace

base::Result<std::int64_t> LoggedJournal::append(const ports::JournalEntry& entry, ports::Durability durability) {
    auto sequence = journal_.append(entry, durability);
    sequence ? say(entry) : say(sequence.error());
    return sequence;
}

base::Result<std::vector<ports::JournalEntry>> LoggedJournal::read(const ports::JournalQuery& query) {
    return journal_.read(query);
}

base::Result<std::optional<ports::EpochRecord>> LoggedJournal::load(const std::string& cluster) {
    auto record = epochs_.load(cluster);
    if (!record) spdlog::error("cluster {}: its epoch can't be read: {}", cluster, record.error().text());
    return record;
}

base::Status LoggedJournal::store(const std::string& cluster, const ports::EpochRecord& record,
                                  const ports::JournalEntry& entry) {
    auto status = epochs_.store(cluster, record, entry);
    status ? say(entry) : say(status.error());
    return status;
}

base::Status LoggedJournal::store_position(const std::string& cluster, std::uint64_t epoch,
                                           const std::string& position) {
    return epochs_.store_position(cluster, epoch, position);
}

}  // namespace signalbox::app
