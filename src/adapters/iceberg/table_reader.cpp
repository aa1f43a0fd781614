#include "adapters/iceberg/table_reader.hpp"

#include <algorithm>

#include "adapters/iceberg/manifest_reader.hpp"
#include "adapters/iceberg/parallel_read.hpp"

namespace signalbox::iceberg {

using base::ErrorKind;
using base::fail;
using base::in_context;
using base::Result;
using base::Status;

namespace {

constexpr std::uint64_t file_max_bytes = std::uint64_t{4} << 30;

// An Avro file that is cut right after its header looks like an empty one: only the summary can tell.
Status check_not_cut(const lake::Snapshot& snapshot, const std::vector<lake::ManifestFile>& manifests,
                     std::size_t list_bytes) {
    if (!manifests.empty()) return {};
    for (const char* field : {"total-data-files", "total-records", "total-delete-files", "added-data-files"}) {
        const auto claimed = snapshot.summary.find(field);
        if (claimed == snapshot.summary.end() || claimed->second == "0") continue;
        return fail(
            ErrorKind::CorruptData,
            "at byte {}: the list ends without naming a manifest, and the snapshot's summary says {} = {}: it is "
            "cut short",
            list_bytes, field, claimed->second);
    }
    return {};
}

// A few small manifests are read sooner than a thread is started.
bool worth_threads(const std::vector<lake::ManifestFile>& manifests) {
    constexpr std::int64_t enough_bytes = std::int64_t{1} << 20;
    std::int64_t bytes = 0;
    for (const lake::ManifestFile& manifest : manifests) {
        // One whose length nobody tells may be large.
        bytes += std::clamp<std::int64_t>(manifest.length_bytes.value_or(enough_bytes), 0, enough_bytes);
        if (bytes >= enough_bytes) return true;
    }
    return false;
}

}  // namespace

Result<std::vector<lake::ManifestFile>> TableReader::manifests(const lake::TableMetadata&,
                                                               const lake::Snapshot& snapshot) {
    if (snapshot.encrypted) {
        return fail(ErrorKind::NotSupported, "snapshot {} is encrypted, which is not supported", snapshot.id);
    }
    if (snapshot.manifest_list.empty()) {
        std::vector<lake::ManifestFile> manifests(snapshot.manifests.size());
        for (std::size_t i = 0; i < manifests.size(); ++i) manifests[i].path = snapshot.manifests[i];
        return manifests;
    }
    SB_TRY(const std::string content, files_.read(snapshot.manifest_list, file_max_bytes));
    auto manifests = read_manifest_list(content);
    if (!manifests) return in_context(manifests.error(), files_.place(snapshot.manifest_list));
    if (auto status = check_not_cut(snapshot, *manifests, content.size()); !status) {
        return in_context(status.error(), files_.place(snapshot.manifest_list));
    }
    return manifests;
}

Status TableReader::read(const lake::TableMetadata& metadata, const std::vector<lake::ManifestFile>& manifests,
                         const std::function<Status(lake::ManifestAggregate)>& on_aggregate,
                         const std::function<void(const ports::ReadProgress&)>& on_progress) {
    const auto read_one = [&](std::size_t index, ReadRoom& room) -> Result<ReadAggregate> {
        const lake::ManifestFile& manifest = manifests[index];
        SB_TRY(const std::string_view content, files_.read_into(manifest.path, file_max_bytes, room.file));
        auto aggregate = read_manifest(content, manifest, metadata);
        if (!aggregate) return in_context(aggregate.error(), files_.place(manifest.path));
        return ReadAggregate{std::move(*aggregate), content.size()};
    };
    ports::ReadProgress progress{0, manifests.size(), 0};
    const auto take_one = [&](ReadAggregate result) -> Status {
        SB_CHECK(on_aggregate(std::move(result.aggregate)));
        ++progress.done;
        progress.bytes += result.bytes;
        if (on_progress) on_progress(progress);
        return {};
    };
    return read_in_parallel(manifests.size(), worth_threads(manifests) ? threads_ : 1, read_one, take_one);
}

Status TableReader::read_files(const lake::TableMetadata& metadata, const lake::ManifestFile& manifest,
                               std::vector<lake::LiveFile>& files) {
    SB_TRY(const std::string content, files_.read(manifest.path, file_max_bytes));
    auto status = read_live_files(content, manifest, metadata, files);
    if (!status) return in_context(status.error(), files_.place(manifest.path));
    return {};
}

}  // namespace signalbox::iceberg
