/* stats: counters as Prometheus reads them. The first four names are a contract. */
#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include "engine_internal.h"

struct line {
	const char *name, *type, *help;
	uint64_t value;
};

int zvm_engine_stats_text(struct zvm_engine *engine, char **ret, size_t *ret_size)
{
	struct zvm_engine_counters c;
	struct zvm_store_counters s;
	zvm_engine_counters(engine, &c);
	zvm_store_counters(engine->options.store, &s);
	const struct line lines[] = {
	        {"zvm_box_runs_total", "counter", "Boxes in which guest code ran for a result.", c.box_runs_total},
	        {"zvm_cache_hits_total", "counter", "Stages answered by a stored run.", c.cache_hits_total},
	        {"zvm_cache_misses_total", "counter", "Stages that had to be computed.", c.cache_misses_total},
	        {"zvm_runs_in_flight", "gauge", "Boxes running now.", c.runs_in_flight},
	        {"zvm_runs_unsaved", "gauge", "Runs known to readers and not stored yet.", c.runs_unsaved},
	        {"zvm_failures_total", "counter", "Runs that failed by exit status or signal.", c.failures_total},
	        {"zvm_cancelled_total", "counter", "Runs killed because nobody waited any more.", c.cancelled_total},
	        {"zvm_timeouts_total", "counter", "Runs ended by the time limit.", c.timeouts_total},
	        {"zvm_templates_total", "counter", "Templates made.", c.templates_total},
	        {"zvm_template_runs_total", "counter", "Runs that went on from a template.", c.template_runs_total},
	        {"zvm_joined_total", "counter", "Readers that joined a run already under way.", c.joined_total},
	        {"zvm_guest_system_calls_total", "counter", "System calls made by guests.", c.system_calls_total},
	        {"zvm_run_microseconds_total", "counter", "Real time spent in boxes.", c.run_microseconds_total},
	        {"zvm_objects_written_total", "counter", "Contents added to the store.", s.objects_written},
	        {"zvm_objects_shared_total", "counter", "Contents that were there already.", s.objects_shared},
	        {"zvm_object_twins_total", "counter", "Different contents with the same hash.", s.twins},
	        {"zvm_objects_condemned_total", "counter", "Objects found damaged and set aside.", s.condemned},
	        {"zvm_records_written_total", "counter", "Runs remembered.", s.records_written},
	        {"zvm_store_bytes_written_total", "counter", "Bytes of contents added to the store.", s.bytes_written},
	        {"zvm_store_bytes", "gauge", "What the store takes on the disk.", s.bytes},
	        {"zvm_gc_runs_total", "counter", "Collections of this store, by whomever.", s.gc_runs},
	        {"zvm_gc_removed_objects_total", "counter", "Contents that they removed.", s.gc_objects},
	        {"zvm_gc_removed_records_total", "counter", "Runs that they made forgotten.", s.gc_records},
	        {"zvm_gc_removed_bytes_total", "counter", "Bytes that they removed.", s.gc_bytes},
	};
	FILE *out = open_memstream(ret, ret_size);
	if (!out)
		return -ENOMEM;
	for (size_t i = 0; i < sizeof lines / sizeof lines[0]; i++)
		fprintf(out, "# HELP %s %s\n# TYPE %s %s\n%s %llu\n", lines[i].name, lines[i].help, lines[i].name,
		        lines[i].type, lines[i].name, (unsigned long long)lines[i].value);
	return fclose(out) == 0 ? 0 : -ENOMEM;
}
