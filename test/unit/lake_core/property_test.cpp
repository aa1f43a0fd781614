// Incremental is the same as whole: after any sequence of commits the sums equal what plain sets of files say.

#include <cstdlib>
#include <gmock/gmock.h>

#include "domain/lake/state.hpp"
#include "table_model.hpp"

namespace signalbox::lake {
namespace {

using test::ModelFile;
using test::ModelManifest;
using test::ModelSnapshot;

using Manifests = std::vector<const ModelManifest*>;
using Files = std::set<const ModelFile*>;

template <typename Container>
Manifests without(const Container& all, const Container& other) {
    Manifests left;
    for (const ModelManifest* manifest : all) {
        if (std::find(other.begin(), other.end(), manifest) == other.end()) left.push_back(manifest);
    }
    return left;
}

std::vector<const ManifestAggregate*> aggregates(const Manifests& manifests) {
    std::vector<const ManifestAggregate*> list;
    for (const ModelManifest* manifest : manifests) list.push_back(&manifest->aggregate);
    return list;
}

std::vector<LiveFile> live_files(const Manifests& manifests) {
    std::vector<LiveFile> files;
    for (const ModelManifest* manifest : manifests) {
        for (LiveFile& file : manifest->live_files()) files.push_back(std::move(file));
    }
    return files;
}

std::map<std::string, ContentSums> sums_of(const Files& files) {
    std::map<std::string, ContentSums> sums;
    for (const ModelFile* file : files) {
        const auto offset = file->vector ? std::optional<std::int64_t>(4) : std::nullopt;
        sums[file->key()][static_cast<std::size_t>(file->content)] +=
            FileSum{1, file->records, file->bytes, hash_path(file->path, offset)};
    }
    return sums;
}

Files minus(const Files& a, const Files& b) {
    Files left;
    std::set_difference(a.begin(), a.end(), b.begin(), b.end(), std::inserter(left, left.end()));
    return left;
}

// By the specification's rule, file against file.
std::int64_t dangling(const Files& live) {
    std::int64_t count = 0;
    for (const ModelFile* deletes : live) {
        if (deletes->content == FileContent::Data) continue;
        const bool equality = deletes->content == FileContent::EqualityDeletes;
        const bool applies = std::any_of(live.begin(), live.end(), [&](const ModelFile* data) {
            if (data->content != FileContent::Data) return false;
            const bool reached = data->key() == deletes->key() || (equality && deletes->key().empty());
            return reached && (equality ? data->sequence < deletes->sequence : data->sequence <= deletes->sequence);
        });
        if (!applies) ++count;
    }
    return count;
}

TableMetadata three_specs() {
    TableMetadata metadata;
    const PartitionField day{1000, 1, "day", "day", "date"};
    const PartitionField region{1001, 2, "region", "identity", "string"};
    metadata.specs = {{0, {day}}, {1, {day, region}}, {2, {}}};
    return metadata;
}

void expect_state(const TableState& state, const ModelSnapshot& snapshot) {
    TableState whole;
    whole.snapshot_id = snapshot.id;
    for (const ModelManifest* manifest : snapshot.manifests) ASSERT_TRUE(whole.add(manifest->aggregate));
    EXPECT_TRUE(state.same_as(whole));

    const Files live = snapshot.live();
    const auto sums = sums_of(live);
    EXPECT_EQ(state.partitions().size(), sums.size());
    ContentSums all;
    for (const auto& [key, expected] : sums) {
        const auto found = state.partitions().find(key);
        ASSERT_NE(found, state.partitions().end());
        EXPECT_EQ(found->second.live, expected);
        for (std::size_t i = 0; i < all.size(); ++i) all[i] += expected[i];
    }
    EXPECT_EQ(state.live(), all);
    Extremes records, sizes;
    PowerSums record_sums;
    SizeHistogram histogram;
    std::int64_t vectors = 0;
    for (const ModelFile* file : live) {
        if (file->vector) ++vectors;
        if (file->content != FileContent::Data) continue;
        records.add(file->records);
        sizes.add(file->bytes);
        record_sums.add(file->records);
        histogram.add(file->bytes);
    }
    EXPECT_EQ(state.data_records_extremes(), records);
    EXPECT_EQ(state.data_size_extremes(), sizes);
    EXPECT_EQ(state.data_records(), record_sums);
    EXPECT_EQ(state.data_size_histogram(), histogram);
    EXPECT_EQ(state.deletion_vectors(), vectors);
    const TableMetadata metadata = three_specs();
    const DeleteScope scope(metadata, state);
    std::int64_t found = 0;
    for (const auto& [key, partition] : state.partitions()) {
        found += dangling_deletes(partition, scope.data_sequence_min, scope.global(key));
    }
    EXPECT_EQ(found, dangling(live));
}

void expect_change(const ModelSnapshot& snapshot, std::map<Truth, int>& seen) {
    static const ModelSnapshot nothing;
    const ModelSnapshot& parent = snapshot.parent == nullptr ? nothing : *snapshot.parent;
    const Manifests added = without(snapshot.manifests, parent.manifests);
    const Manifests gone = without(parent.manifests, snapshot.manifests);
    const auto difference = change_of(snapshot.id, aggregates(added), aggregates(gone));
    const Change change = difference ? *difference : change_of_paths(live_files(added), live_files(gone));
    ++seen[change.truth];
    const auto expected_added = sums_of(minus(snapshot.live(), parent.live()));
    const auto expected_removed = sums_of(minus(parent.live(), snapshot.live()));
    EXPECT_EQ(change.added_by_partition, expected_added) << to_string(change.truth);
    EXPECT_EQ(change.removed_by_partition, expected_removed) << to_string(change.truth);
    std::set<std::string> partitions;
    ContentSums added_sums, removed_sums;
    const auto collect = [&](const std::map<std::string, ContentSums>& sums, ContentSums& total) {
        for (const auto& [key, sum] : sums) {
            partitions.insert(key);
            for (std::size_t i = 0; i < total.size(); ++i) total[i] += sum[i];
        }
    };
    collect(expected_added, added_sums);
    collect(expected_removed, removed_sums);
    EXPECT_EQ(change.partitions, partitions);
    EXPECT_EQ(change.added, added_sums);
    EXPECT_EQ(change.removed, removed_sums);
    EXPECT_EQ(change.added_position_deletes, added_sums[1].records);
}

// As the engine does it: takes away what is gone, adds what is new, counts again where a bound is not enough.
void move_state(TableState& state, const ModelSnapshot* from, const ModelSnapshot& to) {
    const Manifests before = from == nullptr ? Manifests() : from->manifests;
    for (const ModelManifest* manifest : without(before, to.manifests)) ASSERT_TRUE(state.remove(manifest->aggregate));
    for (const ModelManifest* manifest : without(to.manifests, before)) ASSERT_TRUE(state.add(manifest->aggregate));
    state.snapshot_id = to.id;
    if (state.wants_recount()) state.recount_sequences(aggregates(to.manifests));
    EXPECT_FALSE(state.wants_recount());
}

void expect_blobs(TableState& state, const ModelSnapshot& snapshot) {
    for (const ModelManifest* manifest : snapshot.manifests) {
        const std::string text = manifest->aggregate.encode();
        const auto decoded = decode_aggregate(text);
        ASSERT_TRUE(decoded) << decoded.error().text();
        EXPECT_EQ(decoded->encode(), text);
    }
    std::unordered_map<std::string, PartitionState> partitions;
    for (const auto& [key, partition] : state.partitions()) {
        auto decoded = decode_partition_state(partition.encode());
        ASSERT_TRUE(decoded) << decoded.error().text();
        EXPECT_EQ(*decoded, partition);
        partitions.emplace(key, std::move(*decoded));
    }
    auto stored = TableState::decode(state.encode_scalars(), std::move(partitions), state.manifests());
    ASSERT_TRUE(stored) << stored.error().text();
    EXPECT_TRUE(stored->same_as(state));
    state = std::move(*stored);
}

void run_sequence(std::uint64_t seed, std::map<Truth, int>& seen) {
    test::TableModel table(seed);
    TableState state;
    const ModelSnapshot* at = nullptr;
    std::set<const ModelSnapshot*> known;
    const std::uint64_t steps = 4 + seed % 16;
    for (std::uint64_t step = 0; step < steps && !testing::Test::HasFailure(); ++step) {
        const ModelSnapshot* snapshot = table.step();
        if (known.insert(snapshot).second) expect_change(*snapshot, seen);
        if (table.main() == at) continue;
        move_state(state, at, *table.main());
        at = table.main();
        expect_state(state, *at);
        if (seed % 4 == 0) expect_blobs(state, *at);
    }
}

// SIGNALBOX_SEED=N runs that sequence alone.
TEST(Incremental, equals_the_whole_after_any_of_10000_random_sequences_of_commits) {
    std::map<Truth, int> seen;
    const char* chosen = std::getenv("SIGNALBOX_SEED");
    const std::uint64_t first = chosen == nullptr ? 0 : std::strtoull(chosen, nullptr, 10);
    const std::uint64_t last = chosen == nullptr ? 9999 : first;
    for (std::uint64_t seed = first; seed <= last; ++seed) {
        run_sequence(seed, seen);
        ASSERT_FALSE(HasFailure()) << "SIGNALBOX_SEED=" << seed << " unit_lake_core --gtest_filter=Incremental.*";
    }
    if (chosen != nullptr) return;
    EXPECT_GT(seen[Truth::Difference], 10'000);
    EXPECT_GT(seen[Truth::Recounted], 1000);
}

}  // namespace
}  // namespace signalbox::lake
