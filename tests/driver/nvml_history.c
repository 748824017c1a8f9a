/* NVML's calls that look back: the driver's buffer of samples, processes, GPM, events. */
#include "scenario.h"

#include <math.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <time.h>
#include <unistd.h>

#define EXPORT __attribute__((visibility("default")))
#define BEGIN(device)                                                                             \
    do {                                                                                          \
        int code = (device) ? obey(device, __func__) : INVALID_ARGUMENT;                          \
        if (code)                                                                                 \
            return code;                                                                          \
    } while (0)

static const double BUFFER_S = 16; /* how far back a driver's buffer reaches */

static double epoch_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

struct sample { unsigned long long at_us; union { unsigned number; double real; } value; };

/* So many samples of utilisation a second as "samples" says; without it there is no buffer, and
 * with 0 it is empty, as on some newer drivers. "samples_age": the newest is so old. */
EXPORT int nvmlDeviceGetSamples(struct device *device, int kind, unsigned long long seen_us,
    int *type, unsigned *count, struct sample *samples)
{
    double rate, util, age_s = 0;
    BEGIN(device);
    value_of(device, "samples_age", &age_s);
    if (kind != 1 || !value_of(device, "samples", &rate) || !value_of(device, "util", &util))
        return NOT_SUPPORTED;
    double now_s = epoch_s(), start_s = now_s - scenario_now_s();
    now_s -= age_s;
    unsigned most = (unsigned)(BUFFER_S * rate), filled = 0;
    *type = 1; /* unsigned int */
    if (!samples) { /* as much as there may be, whatever was seen already */
        *count = most;
        return most ? SUCCESS : NOT_FOUND;
    }
    for (double tick = floor(now_s * rate) - most + 1; filled < *count; tick++) {
        double at_s = tick / rate;
        if (at_s > now_s)
            break;
        if (at_s * 1e6 <= seen_us || !value_at(device, "util", at_s - start_s, &util))
            continue;
        samples[filled].at_us = (unsigned long long)(at_s * 1e6);
        samples[filled++].value.number = (unsigned)(util + 0.5);
    }
    *count = filled;
    return filled ? SUCCESS : NOT_FOUND;
}

/* Structures of a process: as long as those of the form, and of the driver, that is asked. */
struct process { unsigned pid; unsigned long long used; unsigned instance, compute_instance; };
enum { V1_BYTES = 16, V2_BYTES = 24, CONFIDENTIAL_BYTES = 32 };
enum kind { COMPUTE, GRAPHICS, MPS };

/* Drivers 535.43 to 535.86 fill structures of 32 bytes in the third form. */
static size_t v3_bytes(void)
{
    int branch = 0, minor = 0;
    sscanf(scenario_driver(), "%d.%d", &branch, &minor);
    return branch == 535 && minor >= 43 && minor <= 86 ? CONFIDENTIAL_BYTES : V2_BYTES;
}

static bool is_of_kind(const struct holder *holder, enum kind kind)
{
    return kind == (holder->is_mps ? MPS : holder->is_graphics ? GRAPHICS : COMPUTE);
}

/* Everybody on a device and, as the real one does, on its MIG instances. */
static int running(
    struct device *device, enum kind kind, unsigned *count, void *processes, size_t bytes)
{
    static const unsigned long long unknown = ~0ULL;
    unsigned pids[MOST_PIDS], found = 0;
    for (int i = 0; i < device->holder_count; i++) {
        struct holder *holder = &device->holders[i];
        int holding = is_of_kind(holder, kind) ? holder_pids(holder, pids) : 0;
        for (int j = 0; j < holding; j++, found++) {
            struct process one = {pids[j],
                holder->memory.count
                    ? (unsigned long long)series_value(&holder->memory, scenario_now_s())
                    : unknown,
                device->gpu_instance, device->compute_instance};
            if (!processes || found >= *count)
                continue;
            char *place = (char *)processes + found * bytes;
            memset(place, 0, bytes);
            memcpy(place, &one, bytes < sizeof one ? bytes : sizeof one);
        }
    }
    bool is_enough = found == 0 || (processes && found <= *count);
    *count = found;
    return is_enough ? SUCCESS : INSUFFICIENT_SIZE;
}

#define RUNNING(function, kind, bytes)                                                            \
    EXPORT int function(struct device *device, unsigned *count, void *processes)                  \
    {                                                                                             \
        BEGIN(device);                                                                            \
        return running(device, kind, count, processes, bytes);                                    \
    }

RUNNING(nvmlDeviceGetComputeRunningProcesses, COMPUTE, V1_BYTES)
RUNNING(nvmlDeviceGetGraphicsRunningProcesses, GRAPHICS, V1_BYTES)
RUNNING(nvmlDeviceGetComputeRunningProcesses_v2, COMPUTE, V2_BYTES)
RUNNING(nvmlDeviceGetGraphicsRunningProcesses_v2, GRAPHICS, V2_BYTES)
RUNNING(nvmlDeviceGetMPSComputeRunningProcesses_v2, MPS, V2_BYTES)
RUNNING(nvmlDeviceGetComputeRunningProcesses_v3, COMPUTE, v3_bytes())
RUNNING(nvmlDeviceGetGraphicsRunningProcesses_v3, GRAPHICS, v3_bytes())
RUNNING(nvmlDeviceGetMPSComputeRunningProcesses_v3, MPS, v3_bytes())

struct process_utilization { unsigned pid; unsigned long long at_us; unsigned sm, memory, enc, dec; };

/* Only who worked is told of; if nobody did, there is nothing to be found. */
EXPORT int nvmlDeviceGetProcessUtilization(struct device *device,
    struct process_utilization *found, unsigned *count, unsigned long long seen_us)
{
    unsigned pids[MOST_PIDS], working = 0;
    double is_told;
    BEGIN(device);
    if (!value_of(device, "process_util", &is_told))
        return NOT_SUPPORTED;
    unsigned long long now_us = (unsigned long long)(epoch_s() * 1e6);
    for (int i = 0; i < device->holder_count; i++) {
        struct holder *holder = &device->holders[i];
        double sm = holder->sm.count ? series_value(&holder->sm, scenario_now_s()) : 0;
        int holding = sm > 0 ? holder_pids(holder, pids) : 0;
        for (int j = 0; j < holding; j++, working++)
            if (found && working < *count)
                found[working] = (struct process_utilization){
                    pids[j], now_us, (unsigned)sm, 0, 0, 0};
    }
    if (!working || seen_us >= now_us)
        return NOT_FOUND;
    bool is_enough = found && working <= *count;
    *count = working;
    return is_enough ? SUCCESS : INSUFFICIENT_SIZE;
}

struct accounting {
    unsigned gpu_util, memory_util;
    unsigned long long peak, time_ms, started_us;
    unsigned is_running, reserved[5];
};

EXPORT int nvmlDeviceGetAccountingStats(
    struct device *device, unsigned pid, struct accounting *stats)
{
    unsigned pids[MOST_PIDS];
    BEGIN(device);
    for (int i = 0; i < device->holder_count; i++) {
        struct holder *holder = &device->holders[i];
        for (int j = holder_pids(holder, pids); j > 0; j--)
            if (pids[j - 1] == pid && holder->peak.count) {
                memset(stats, 0, sizeof *stats);
                stats->gpu_util = (unsigned)(holder->sm.count ? holder->sm.points[0].value : 0);
                stats->peak = (unsigned long long)series_value(&holder->peak, scenario_now_s());
                stats->is_running = 1;
                return SUCCESS;
            }
    }
    return NOT_FOUND;
}

/* GPM: a sample remembers its device and when it was taken; metrics are the mean between two. */

struct gpm_sample { struct device *device; double at_s; };
struct gpm_metric { unsigned id; int code; double value; const char *names[3]; };
struct gpm_request {
    unsigned version, count;
    struct gpm_sample *first, *second;
    struct gpm_metric metrics[];
};
struct gpm_support { unsigned version, is_supported; };

EXPORT int nvmlGpmQueryDeviceSupport(struct device *device, struct gpm_support *support)
{
    double value = 0;
    BEGIN(device);
    if (support->version != 1) /* NVML_GPM_SUPPORT_VERSION */
        return ARGUMENT_VERSION_MISMATCH;
    support->is_supported = value_of(device, "gpm", &value) && value > 0;
    return SUCCESS;
}

EXPORT int nvmlGpmSampleAlloc(struct gpm_sample **sample)
{
    *sample = calloc(1, sizeof **sample);
    return SUCCESS;
}

EXPORT int nvmlGpmSampleFree(struct gpm_sample *sample)
{
    free(sample);
    return SUCCESS;
}

EXPORT int nvmlGpmSampleGet(struct device *device, struct gpm_sample *sample)
{
    double value;
    BEGIN(device);
    if (!value_of(device, "gpm", &value))
        return NOT_SUPPORTED;
    *sample = (struct gpm_sample){device, scenario_now_s()};
    return SUCCESS;
}

EXPORT int nvmlGpmMigSampleGet(
    struct device *device, unsigned gpu_instance, struct gpm_sample *sample)
{
    BEGIN(device);
    for (int i = 0; i < 7; i++) {
        struct device *instance = scenario_instance(device, i);
        if (instance && instance->gpu_instance == gpu_instance) {
            *sample = (struct gpm_sample){instance, scenario_now_s()};
            return SUCCESS;
        }
    }
    return NOT_FOUND;
}

EXPORT int nvmlGpmMetricsGet(struct gpm_request *request)
{
    static const struct { unsigned id; const char *key; } known[] = {
        {2, "sm_active"}, {3, "sm_occupancy"}, {5, "tensor_active"}, {10, "dram_active"}};
    struct gpm_sample *first = request->first, *second = request->second;
    if (request->version != 1 || !first->device || first->device != second->device)
        return INVALID_ARGUMENT;
    for (unsigned i = 0; i < request->count; i++) {
        struct gpm_metric *metric = &request->metrics[i];
        metric->code = second->at_s - first->at_s < 0.1 ? INVALID_ARGUMENT : NOT_SUPPORTED;
        for (unsigned j = 0; metric->code == NOT_SUPPORTED && j < 4; j++)
            if (known[j].id == metric->id &&
                value_at(first->device, known[j].key, (first->at_s + second->at_s) / 2,
                    &metric->value))
                metric->code = SUCCESS;
    }
    return SUCCESS;
}

/* Events: Xid errors, each told once after it happened on a device that was registered. */

struct event_set { int count; struct device *devices[MOST_DEVICES]; };
struct event { struct device *device; unsigned long long type, data; unsigned instances[2]; };
enum { XID_EVENT = 8 };

EXPORT int nvmlEventSetCreate(struct event_set **set)
{
    *set = calloc(1, sizeof **set);
    return obey(NULL, __func__);
}

EXPORT int nvmlEventSetFree(struct event_set *set)
{
    free(set);
    return SUCCESS;
}

EXPORT int nvmlDeviceRegisterEvents(
    struct device *device, unsigned long long types, struct event_set *set)
{
    BEGIN(device);
    if (types != XID_EVENT || set->count == MOST_DEVICES)
        return NOT_SUPPORTED;
    set->devices[set->count++] = device;
    return SUCCESS;
}

static int next_event(struct event_set *set, const char *function, unsigned timeout_ms,
    struct event *event)
{
    int code = obey(NULL, function);
    for (int i = 0; code == SUCCESS && i < set->count; i++)
        for (int j = 0; j < set->devices[i]->xid_count; j++) {
            struct xid *xid = &set->devices[i]->xids[j];
            if (xid->is_told || xid->at_s > scenario_now_s())
                continue;
            xid->is_told = true;
            *event = (struct event){set->devices[i], XID_EVENT, xid->code, {~0u, ~0u}};
            return SUCCESS;
        }
    usleep(timeout_ms * 1000);
    return code ? code : TIMEOUT;
}

EXPORT int nvmlEventSetWait_v2(struct event_set *set, struct event *event, unsigned timeout_ms)
{
    return next_event(set, __func__, timeout_ms, event);
}

/* Before driver 450: without the instances. */
EXPORT int nvmlEventSetWait(struct event_set *set, void *event, unsigned timeout_ms)
{
    struct event whole;
    int code = next_event(set, __func__, timeout_ms, &whole);
    if (code == SUCCESS)
        memcpy(event, &whole, offsetof(struct event, instances));
    return code;
}
