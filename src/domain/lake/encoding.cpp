// The bytes of aggregates and states in the store. Reading checks everything that holds of what writing wrote: the
// parts must add up to the whole.

#include "domain/lake/blob.hpp"
#include "domain/lake/state.hpp"

namespace signalbox::lake {

using base::ErrorKind;
using base::fail;
using base::Result;

namespace {

constexpr std::uint8_t version = 1;

// Sums of parts that were read; a sum that does not fit is a fault.
struct Total {
    std::int64_t files = 0;
    std::int64_t records = 0;
    std::int64_t size_bytes = 0;
    bool bad = false;
    void add(std::int64_t more_files, std::int64_t more_records, std::int64_t more_bytes) {
        bad = __builtin_add_overflow(files, more_files, &files) || bad;
        bad = __builtin_add_overflow(records, more_records, &records) || bad;
        bad = __builtin_add_overflow(size_bytes, more_bytes, &size_bytes) || bad;
    }
    void add(const FileSum& sum) { add(sum.files, sum.records, sum.size_bytes); }
};

bool same_counts(const FileSum& a, const FileSum& b) {
    return a.files == b.files && a.records == b.records && a.size_bytes == b.size_bytes;
}

void put(BlobWriter& out, const ContentSums& sums) {
    // Most partitions have no delete files: a bit per kind tells which sums follow.
    std::uint8_t present = 0;
    for (std::size_t i = 0; i < sums.size(); ++i)
        present |= static_cast<std::uint8_t>(sums[i] == FileSum{} ? 0 : 1 << i);
    out.byte(present);
    for (const FileSum& sum : sums) {
        if (sum == FileSum{}) continue;
        out.number(sum.files);
        out.number(sum.records);
        out.number(sum.size_bytes);
        out.fixed(sum.hash.low);
        out.fixed(sum.hash.high);
    }
}

ContentSums get_sums(BlobReader& in) {
    ContentSums sums;
    const std::uint8_t present = in.byte();
    in.expect(present < 8);
    for (std::size_t i = 0; i < sums.size(); ++i) {
        if (in.failed() || (present >> i & 1) == 0) continue;
        sums[i].files = in.natural();
        sums[i].records = in.natural();
        sums[i].size_bytes = in.natural();
        sums[i].hash.low = in.fixed();
        sums[i].hash.high = in.fixed();
        in.expect(sums[i].files > 0);
    }
    return sums;
}

void put(BlobWriter& out, const SizeHistogram& histogram) {
    out.count(histogram.buckets().size());
    for (const auto& [place, bucket] : histogram.buckets()) {
        out.byte(place);
        out.number(bucket.files);
        out.number(bucket.size_bytes);
    }
}

// Of that many files with that many bytes.
SizeHistogram get_histogram(BlobReader& in, const FileSum& data) {
    SizeHistogram histogram;
    Total total;
    int last = -1;
    for (std::size_t left = in.count(3); left > 0 && !in.failed(); --left) {
        const std::uint8_t place = in.byte();
        const SizeBucket bucket{in.natural(), in.natural()};
        in.expect(place > last && place < SizeHistogram::buckets_max && bucket.files > 0);
        last = place;
        total.add(bucket.files, 0, bucket.size_bytes);
        histogram.put(place, bucket);
    }
    in.expect(!total.bad && total.files == data.files && total.size_bytes == data.size_bytes);
    return histogram;
}

void put(BlobWriter& out, const std::vector<DeleteGroup>& groups) {
    out.count(groups.size());
    for (const DeleteGroup& group : groups) {
        out.byte(static_cast<std::uint8_t>(group.content));
        out.number(group.data_sequence);
        out.number(group.files);
        out.number(group.records);
        out.number(group.size_bytes);
    }
}

std::vector<DeleteGroup> get_groups(BlobReader& in, const ContentSums& live) {
    std::vector<DeleteGroup> groups;
    Total totals[3];
    for (std::size_t left = in.count(5); left > 0 && !in.failed(); --left) {
        const std::uint8_t content = in.byte();
        in.expect(content == 1 || content == 2);
        if (in.failed()) break;
        const DeleteGroup group{static_cast<FileContent>(content), in.natural(), in.natural(), in.natural(),
                                in.natural()};
        in.expect(group.files > 0);
        if (!groups.empty()) {
            const DeleteGroup& last = groups.back();
            in.expect(last.content < group.content ||
                      (last.content == group.content && last.data_sequence < group.data_sequence));
        }
        totals[content].add(group.files, group.records, group.size_bytes);
        groups.push_back(group);
    }
    for (std::size_t i = 1; i < live.size(); ++i) {
        in.expect(!totals[i].bad &&
                  same_counts(live[i], {totals[i].files, totals[i].records, totals[i].size_bytes, {}}));
    }
    return groups;
}

void put(BlobWriter& out, const Extremes& extremes) {
    out.optional(extremes.min);
    out.optional(extremes.max);
}

Extremes get_extremes(BlobReader& in, bool any_file) {
    Extremes extremes;
    extremes.min = in.optional();
    extremes.max = in.optional();
    in.expect(extremes.min.has_value() == any_file && extremes.max.has_value() == any_file);
    if (extremes.min && extremes.max) in.expect(*extremes.min >= 0 && *extremes.min <= *extremes.max);
    return extremes;
}

std::int32_t get_spec_id(BlobReader& in) {
    const std::int64_t id = in.natural();
    in.expect(id <= INT32_MAX);
    return in.failed() ? 0 : static_cast<std::int32_t>(id);
}

std::optional<std::int64_t> get_minimum(BlobReader& in, bool any_file) {
    const auto minimum = in.optional();
    in.expect(minimum.has_value() == any_file && minimum.value_or(0) >= 0);
    return minimum;
}

bool get_flag(BlobReader& in) {
    const std::uint8_t flag = in.byte();
    in.expect(flag <= 1);
    return flag == 1;
}

void put(BlobWriter& out, const PartitionPart& part) {
    out.number(part.spec_id);
    put(out, part.live);
    put(out, part.added);
    put(out, part.removed);
    put(out, part.data_sizes);
    out.optional(part.data_sequence_min);
    put(out, part.deletes);
}

PartitionPart get_part(BlobReader& in) {
    PartitionPart part;
    part.spec_id = get_spec_id(in);
    part.live = get_sums(in);
    part.added = get_sums(in);
    part.removed = get_sums(in);
    part.data_sizes = get_histogram(in, part.live[0]);
    part.data_sequence_min = get_minimum(in, part.live[0].files > 0);
    part.deletes = get_groups(in, part.live);
    return part;
}

Result<BlobReader> open(std::string_view text, std::string_view what) {
    BlobReader in(text);
    if (const std::uint8_t found = in.byte(); in.failed() || found != version) {
        return fail(ErrorKind::CorruptData, "a stored {} has format {}, expected {}", what, found, version);
    }
    return in;
}

tl::unexpected<base::Error> corrupt(std::string_view what) {
    return fail(ErrorKind::CorruptData, "a stored {} is damaged: read the table again", what);
}

void get_partitions(BlobReader& in, ManifestAggregate& aggregate, Total& data, Total& deletes) {
    constexpr std::size_t part_min_bytes = 8;
    for (std::size_t left = in.count(part_min_bytes); left > 0 && !in.failed(); --left) {
        const std::string_view key = in.text();
        in.expect(is_partition_key(key));
        in.expect(aggregate.partitions.empty() || aggregate.partitions.rbegin()->first < key);
        PartitionPart part = get_part(in);
        data.add(part.live[0]);
        deletes.add(part.live[1]);
        deletes.add(part.live[2]);
        if (!in.failed()) aggregate.partitions.emplace_hint(aggregate.partitions.end(), key, std::move(part));
    }
}

}  // namespace

std::string ManifestAggregate::encode() const {
    BlobWriter out;
    out.byte(version);
    out.text(key.path);
    out.number(key.length_bytes);
    out.byte(holds_deletes ? 1 : 0);
    out.optional(added_snapshot_id);
    data_records.encode(out);
    data_sizes.encode(out);
    put(out, data_records_extremes);
    put(out, data_size_extremes);
    out.number(deletion_vectors);
    out.count(partitions.size());
    for (const auto& [name, part] : partitions) {
        out.text(name);
        put(out, part);
    }
    return out.take();
}

Result<ManifestAggregate> decode_aggregate(std::string_view text) {
    SB_TRY(BlobReader in, open(text, "manifest's aggregate"));
    ManifestAggregate aggregate;
    aggregate.key.path = std::string(in.text());
    aggregate.key.length_bytes = in.number();
    in.expect(aggregate.key.length_bytes >= -1);
    aggregate.holds_deletes = get_flag(in);
    aggregate.added_snapshot_id = in.optional();
    aggregate.data_records = PowerSums::decode(in);
    aggregate.data_sizes = PowerSums::decode(in);
    const bool any_data = aggregate.data_records.count() > 0;
    aggregate.data_records_extremes = get_extremes(in, any_data);
    aggregate.data_size_extremes = get_extremes(in, any_data);
    aggregate.deletion_vectors = in.natural();
    Total data;
    Total deletes;
    get_partitions(in, aggregate, data, deletes);
    in.expect(!data.bad && !deletes.bad && data.files == aggregate.data_records.count() &&
              data.files == aggregate.data_sizes.count() && aggregate.deletion_vectors <= deletes.files);
    in.expect((aggregate.holds_deletes ? data.files : deletes.files) == 0);
    if (!in.done()) return corrupt("manifest's aggregate");
    return aggregate;
}

std::string PartitionState::encode() const {
    BlobWriter out;
    out.byte(version);
    out.number(spec_id);
    put(out, live);
    put(out, data_sizes);
    out.optional(data_sequence_min);
    out.byte(sequence_is_bound ? 1 : 0);
    put(out, deletes);
    return out.take();
}

Result<PartitionState> decode_partition_state(std::string_view text) {
    SB_TRY(BlobReader in, open(text, "partition's state"));
    PartitionState state;
    state.spec_id = get_spec_id(in);
    state.live = get_sums(in);
    state.data_sizes = get_histogram(in, state.live[0]);
    state.data_sequence_min = get_minimum(in, state.live[0].files > 0);
    state.sequence_is_bound = get_flag(in);
    in.expect(!state.sequence_is_bound || state.data_sequence_min.has_value());
    state.deletes = get_groups(in, state.live);
    in.expect(!state.empty());
    if (!in.done()) return corrupt("partition's state");
    return state;
}

std::string TableState::encode_scalars() const {
    BlobWriter out;
    out.byte(version);
    out.optional(snapshot_id);
    put(out, live_);
    data_records_.encode(out);
    data_sizes_.encode(out);
    put(out, data_size_histogram_);
    out.number(deletion_vectors_);
    return out.take();
}

Result<TableState> TableState::decode(std::string_view scalars,
                                      std::unordered_map<std::string, PartitionState> partitions,
                                      std::map<ManifestKey, LiveManifest> manifests) {
    SB_TRY(BlobReader in, open(scalars, "table's state"));
    TableState state;
    state.snapshot_id = in.optional();
    state.live_ = get_sums(in);
    state.data_records_ = PowerSums::decode(in);
    state.data_sizes_ = PowerSums::decode(in);
    state.data_size_histogram_ = get_histogram(in, state.live_[0]);
    state.deletion_vectors_ = in.natural();
    in.expect(state.data_records_.count() == state.live_[0].files && state.data_sizes_.count() == state.live_[0].files);
    ContentSums sums;
    SizeHistogram sizes;
    Total total;
    for (const auto& [key, partition] : partitions) {
        in.expect(is_partition_key(key) && !partition.empty());
        for (std::size_t i = 0; i < sums.size(); ++i) {
            total.add(partition.live[i]);
            sums[i] += partition.live[i];
        }
        if (!total.bad) sizes.add(partition.data_sizes);
    }
    in.expect(!total.bad && sums == state.live_ && sizes == state.data_size_histogram_ &&
              state.deletion_vectors_ <= total.files - sums[0].files);
    if (!in.done()) return corrupt("table's state");
    state.partitions_ = std::move(partitions);
    state.manifests_ = std::move(manifests);
    return state;
}

}  // namespace signalbox::lake
