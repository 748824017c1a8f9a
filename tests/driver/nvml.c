/* NVML's calls on devices: one value of the scenario each. What a scenario does not give is not
 * supported. Names and layouts are those of nvml.h in the PyPI package nvidia-nvml-dev. */
#include "scenario.h"

#include <stdio.h>
#include <string.h>

#define EXPORT __attribute__((visibility("default")))

static bool is_started;

/* What a call on a device returns before it looks at any value. */
static int begin(struct device *device, const char *function)
{
    if (!is_started)
        return UNINITIALIZED;
    return device ? obey(device, function) : INVALID_ARGUMENT;
}

#define BEGIN(device) do { int code = begin(device, __func__); if (code) return code; } while (0)

/* A call that hands out one number. */
#define SCALAR(function, type, key, factor)                                                       \
    EXPORT int function(struct device *device, type *out)                                         \
    {                                                                                             \
        double value;                                                                             \
        BEGIN(device);                                                                            \
        if (!value_of(device, key, &value))                                                       \
            return NOT_SUPPORTED;                                                                 \
        *out = (type)(value * (factor) + 0.5);                                                    \
        return SUCCESS;                                                                           \
    }

SCALAR(nvmlDeviceGetPowerUsage, unsigned, "power", 1000)
SCALAR(nvmlDeviceGetEnforcedPowerLimit, unsigned, "power_limit", 1000)
SCALAR(nvmlDeviceGetTotalEnergyConsumption, unsigned long long, "energy", 1000)
SCALAR(nvmlDeviceGetCurrPcieLinkGeneration, unsigned, "pcie_generation", 1)
SCALAR(nvmlDeviceGetMaxPcieLinkGeneration, unsigned, "pcie_generation_max", 1)
SCALAR(nvmlDeviceGetCurrPcieLinkWidth, unsigned, "pcie_width", 1)
SCALAR(nvmlDeviceGetMaxPcieLinkWidth, unsigned, "pcie_width_max", 1)
SCALAR(nvmlDeviceGetRetiredPagesPendingStatus, unsigned, "pages_pending", 1)
SCALAR(nvmlDeviceGetCurrentClocksThrottleReasons, unsigned long long, "clock_reasons", 1)
SCALAR(nvmlDeviceGetCurrentClocksEventReasons, unsigned long long, "clock_reasons", 1)
SCALAR(nvmlDeviceGetAccountingMode, unsigned, "accounting", 1)

/* A call that hands out one of two numbers, by a number of its own. */
#define CHOICE(function, type, wanted, first, second)                                             \
    EXPORT int function(struct device *device, int which, type *out)                              \
    {                                                                                             \
        double value;                                                                             \
        BEGIN(device);                                                                            \
        if (!value_of(device, which == (wanted) ? (first) : (second), &value))                    \
            return NOT_SUPPORTED;                                                                 \
        *out = (type)(value + 0.5);                                                               \
        return SUCCESS;                                                                           \
    }

CHOICE(nvmlDeviceGetClockInfo, unsigned, 1, "sm_clock", "memory_clock")
CHOICE(nvmlDeviceGetMaxClockInfo, unsigned, 1, "sm_clock_max", "memory_clock_max")
CHOICE(nvmlDeviceGetTemperature, unsigned, 0, "temperature", "no such sensor")
CHOICE(nvmlDeviceGetTemperatureThreshold, unsigned, 1, "temperature_limit", "no such threshold")

static int start(const char *function)
{
    scenario_load();
    int code = obey(NULL, function);
    is_started |= code == SUCCESS;
    return code;
}

EXPORT int nvmlInitWithFlags(unsigned flags)
{
    return flags > 1 ? INVALID_ARGUMENT : start("nvmlInitWithFlags");
}

EXPORT int nvmlInit_v2(void) { return start("nvmlInit_v2"); }

EXPORT int nvmlSystemGetDriverVersion(char *text, unsigned length)
{
    if (!is_started)
        return UNINITIALIZED;
    return snprintf(text, length, "%s", scenario_driver()) < (int)length ? obey(NULL, __func__)
                                                                          : INSUFFICIENT_SIZE;
}

/* "minor" is the number of the device's file; without it that of its place. */
EXPORT int nvmlDeviceGetMinorNumber(struct device *device, unsigned *minor)
{
    double value = device ? device->index : 0;
    BEGIN(device);
    value_of(device, "minor", &value);
    *minor = (unsigned)value;
    return SUCCESS;
}

/* "numa_node": the operating system manages the device's memory. */
SCALAR(nvmlDeviceGetNumaNodeId, unsigned, "numa_node", 1)

EXPORT int nvmlShutdown(void)
{
    is_started = false;
    return SUCCESS;
}

EXPORT const char *nvmlErrorString(int code)
{
    (void)code;
    return "Some Other Error";
}

EXPORT int nvmlDeviceGetCount_v2(unsigned *count)
{
    if (!is_started)
        return UNINITIALIZED;
    *count = (unsigned)scenario_device_count();
    return obey(NULL, __func__);
}

EXPORT int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct device **device)
{
    if (!is_started)
        return UNINITIALIZED;
    for (int i = 0; (*device = scenario_device(i)); i++)
        if (is_present(*device) && index-- == 0)
            return obey(*device, __func__);
    return INVALID_ARGUMENT;
}

EXPORT int nvmlDeviceGetName(struct device *device, char *text, unsigned length)
{
    BEGIN(device);
    return snprintf(text, length, "%s", device->name) < (int)length ? SUCCESS : INSUFFICIENT_SIZE;
}

EXPORT int nvmlDeviceGetUUID(struct device *device, char *text, unsigned length)
{
    BEGIN(device);
    return snprintf(text, length, "%s", device->uuid) < (int)length ? SUCCESS : INSUFFICIENT_SIZE;
}

struct utilization { unsigned gpu, memory; };

EXPORT int nvmlDeviceGetUtilizationRates(struct device *device, struct utilization *rates)
{
    double util, memory = 0;
    BEGIN(device);
    if (!value_of(device, "util", &util))
        return NOT_SUPPORTED;
    value_of(device, "memory_util", &memory);
    rates->gpu = (unsigned)(util + 0.5);
    rates->memory = (unsigned)(memory + 0.5);
    return SUCCESS;
}

struct memory { unsigned long long total, free, used; };
struct memory_v2 { unsigned version; unsigned long long total, reserved, free, used; };
enum { MEMORY_V2 = 0x02000028 }; /* NVML_STRUCT_VERSION(Memory, 2) */

static int read_memory(struct device *device, struct memory_v2 *memory)
{
    double total, used, reserved = 0;
    if (!value_of(device, "memory_total", &total) || !value_of(device, "memory_used", &used))
        return NOT_SUPPORTED;
    value_of(device, "memory_reserved", &reserved);
    memory->total = (unsigned long long)total;
    memory->reserved = (unsigned long long)reserved;
    memory->used = (unsigned long long)used;
    memory->free = memory->total - memory->reserved - memory->used;
    return SUCCESS;
}

EXPORT int nvmlDeviceGetMemoryInfo_v2(struct device *device, struct memory_v2 *memory)
{
    BEGIN(device);
    return memory->version == MEMORY_V2 ? read_memory(device, memory) : ARGUMENT_VERSION_MISMATCH;
}

/* The first version counts what is reserved as used. */
EXPORT int nvmlDeviceGetMemoryInfo(struct device *device, struct memory *memory)
{
    struct memory_v2 newer;
    BEGIN(device);
    int code = read_memory(device, &newer);
    if (code == SUCCESS)
        *memory = (struct memory){newer.total, newer.free, newer.used + newer.reserved};
    return code;
}

/* counter: 0 since the driver was loaded, 1 ever. type: 0 corrected, 1 uncorrected. */
EXPORT int nvmlDeviceGetTotalEccErrors(
    struct device *device, int type, int counter, unsigned long long *count)
{
    double value;
    BEGIN(device);
    if (type != 1 || !value_of(device, counter == 0 ? "ecc_volatile" : "ecc_aggregate", &value))
        return NOT_SUPPORTED;
    *count = (unsigned long long)value;
    return SUCCESS;
}

EXPORT int nvmlDeviceGetRemappedRows(struct device *device, unsigned *corrected,
    unsigned *uncorrected, unsigned *is_pending, unsigned *has_failed)
{
    double rows, value = 0;
    BEGIN(device);
    if (!value_of(device, "rows_remapped", &rows))
        return NOT_SUPPORTED;
    *corrected = 0;
    *uncorrected = (unsigned)rows;
    *is_pending = value_of(device, "rows_pending", &value) && value > 0;
    *has_failed = value_of(device, "rows_failed", &value) && value > 0;
    return SUCCESS;
}

/* cause: 0 several single bit errors, 1 a double bit error. */
EXPORT int nvmlDeviceGetRetiredPages(
    struct device *device, int cause, unsigned *count, unsigned long long *addresses)
{
    double pages;
    BEGIN(device);
    if (!value_of(device, cause ? "pages_double_bit" : "pages_single_bit", &pages))
        return NOT_SUPPORTED;
    bool is_enough = addresses && *count >= (unsigned)pages;
    *count = (unsigned)pages;
    for (unsigned i = 0; is_enough && i < *count; i++)
        addresses[i] = 0x1000ULL * i;
    return is_enough ? SUCCESS : INSUFFICIENT_SIZE;
}

EXPORT int nvmlDeviceGetNvLinkState(struct device *device, unsigned link, unsigned *is_active)
{
    double links, active = 0;
    BEGIN(device);
    if (!value_of(device, "nvlinks", &links) || link >= links)
        return INVALID_ARGUMENT;
    value_of(device, "nvlinks_active", &active);
    *is_active = link < active;
    return SUCCESS;
}

struct field {
    unsigned id, scope;
    long long at_us, latency_us;
    unsigned type;
    int code;
    unsigned long long value;
};

EXPORT int nvmlDeviceGetFieldValues(struct device *device, int count, struct field *fields)
{
    static const struct { unsigned id; const char *key; } known[] = {
        {91, "nvlinks"}, {138, "nvlink_sent_kib"}, {139, "nvlink_received_kib"},
        {197, "pcie_sent"}, {198, "pcie_received"}};
    BEGIN(device);
    for (int i = 0; i < count; i++) {
        double value;
        fields[i].code = NOT_SUPPORTED;
        for (unsigned j = 0; j < sizeof known / sizeof *known; j++)
            if (known[j].id == fields[i].id && value_of(device, known[j].key, &value)) {
                fields[i].code = SUCCESS;
                fields[i].type = 3; /* unsigned long long */
                fields[i].value = (unsigned long long)value;
            }
    }
    return SUCCESS;
}

/* MIG: an instance is a device of its own with a parent. */

EXPORT int nvmlDeviceGetMigMode(struct device *device, unsigned *current, unsigned *pending)
{
    double mode;
    BEGIN(device);
    if (device->parent || !value_of(device, "mig", &mode))
        return NOT_SUPPORTED;
    *current = *pending = (unsigned)mode;
    return SUCCESS;
}

EXPORT int nvmlDeviceGetMaxMigDeviceCount(struct device *device, unsigned *count)
{
    double mode;
    BEGIN(device);
    *count = value_of(device, "mig", &mode) && mode > 0 ? 7 : 0;
    return SUCCESS;
}

EXPORT int nvmlDeviceGetMigDeviceHandleByIndex(
    struct device *device, unsigned index, struct device **instance)
{
    BEGIN(device);
    *instance = scenario_instance(device, (int)index);
    return *instance && is_present(*instance) ? SUCCESS : NOT_FOUND;
}

EXPORT int nvmlDeviceGetGpuInstanceId(struct device *device, unsigned *id)
{
    BEGIN(device);
    *id = device->gpu_instance;
    return device->parent ? SUCCESS : NOT_SUPPORTED;
}

EXPORT int nvmlDeviceGetComputeInstanceId(struct device *device, unsigned *id)
{
    BEGIN(device);
    *id = device->compute_instance;
    return device->parent ? SUCCESS : NOT_SUPPORTED;
}
