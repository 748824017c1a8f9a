/* A stand-in for the NVIDIA driver's library: what the tests need of NVML, in the layout that
 * pynvml expects. The environment says how it misbehaves:
 *
 *   NVML_INIT=9              what initialising returns (9: driver not loaded)
 *   NVML_DEVICE_COUNT=2      how many devices there are
 *   NVML_FAIL="Name=3 ..."   what nvmlDeviceGetName returns instead (3: not supported)
 *   NVML_HANG=Name           the call that sleeps for 30 s
 *   NVML_LOST=5              after how many readings of utilisation the devices are lost
 *   NVML_PID=123             the process that holds both devices
 *
 * Compiled with -DWITHOUT_ENERGY it lacks that function, as old drivers do. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

enum { SUCCESS = 0, INVALID_ARGUMENT = 2, INSUFFICIENT_SIZE = 7, GPU_IS_LOST = 15 };

struct device { unsigned index; };
struct memory { unsigned long long total, free, used; };
struct utilization { unsigned gpu, memory; };
struct process { unsigned pid; unsigned long long used; unsigned instance, compute_instance; };

static struct device devices[] = {{0}, {1}};
static const unsigned long long MIB = 1ULL << 20;

static unsigned number(const char *name, unsigned otherwise)
{
    const char *text = getenv(name);
    return text ? (unsigned)atoi(text) : otherwise;
}

/* What the call of this name shall return; it may first hang. */
static int asked(const char *call)
{
    const char *hang = getenv("NVML_HANG"), *fail = getenv("NVML_FAIL");
    char wanted[80];
    if (hang && !strcmp(hang, call))
        sleep(30);
    snprintf(wanted, sizeof wanted, "%s=", call);
    const char *found = fail ? strstr(fail, wanted) : NULL;
    return found ? atoi(found + strlen(wanted)) : SUCCESS;
}

#define ANSWER(call) do { int code = asked(call); if (code) return code; } while (0)

int nvmlInitWithFlags(unsigned flags) { (void)flags; ANSWER("Init"); return number("NVML_INIT", 0); }
int nvmlInit_v2(void) { return nvmlInitWithFlags(0); }
int nvmlShutdown(void) { return SUCCESS; }
const char *nvmlErrorString(int code) { (void)code; return "Some Other Error"; }

int nvmlDeviceGetCount_v2(unsigned *count)
{
    ANSWER("Count");
    *count = number("NVML_DEVICE_COUNT", 2);
    return SUCCESS;
}

int nvmlDeviceGetHandleByIndex_v2(unsigned index, struct device **device)
{
    ANSWER("Handle");
    if (index > 1)
        return INVALID_ARGUMENT;
    *device = &devices[index];
    return SUCCESS;
}

int nvmlDeviceGetName(struct device *device, char *text, unsigned length)
{
    (void)device;
    ANSWER("Name");
    snprintf(text, length, "Tesla K40m");
    return SUCCESS;
}

int nvmlDeviceGetUUID(struct device *device, char *text, unsigned length)
{
    ANSWER("UUID");
    snprintf(text, length, "GPU-0000000%u", device->index);
    return SUCCESS;
}

/* The first device is busy and then idle in turns, the second one is held and idle. */
int nvmlDeviceGetUtilizationRates(struct device *device, struct utilization *rates)
{
    static unsigned polls;
    ANSWER("Utilization");
    if (polls >= number("NVML_LOST", ~0u))
        return GPU_IS_LOST;
    polls += device->index == 0;
    rates->gpu = device->index == 0 && polls % 2 ? 80 : 0;
    rates->memory = 0;
    return SUCCESS;
}

int nvmlDeviceGetMemoryInfo(struct device *device, struct memory *memory)
{
    ANSWER("Memory");
    memory->total = 11519 * MIB;
    memory->used = (device->index == 0 ? 11011 : 10950) * MIB;
    memory->free = memory->total - memory->used;
    return SUCCESS;
}

int nvmlDeviceGetPowerUsage(struct device *device, unsigned *milliwatts)
{
    ANSWER("Power");
    *milliwatts = device->index == 0 ? 104500 : 61000;
    return SUCCESS;
}

int nvmlDeviceGetEnforcedPowerLimit(struct device *device, unsigned *milliwatts)
{
    (void)device;
    ANSWER("PowerLimit");
    *milliwatts = 235000;
    return SUCCESS;
}

#ifndef WITHOUT_ENERGY
int nvmlDeviceGetTotalEnergyConsumption(struct device *device, unsigned long long *millijoules)
{
    (void)device;
    ANSWER("Energy");
    *millijoules = 5000500;
    return SUCCESS;
}
#endif

int nvmlDeviceGetTemperature(struct device *device, int sensor, unsigned *celsius)
{
    (void)sensor;
    ANSWER("Temperature");
    *celsius = 40 + device->index;
    return SUCCESS;
}

static int list(struct device *device, unsigned *count, struct process *processes)
{
    unsigned pid = number("NVML_PID", 0);
    if (!pid || !*count) {
        *count = pid ? 1 : 0;
        return pid ? INSUFFICIENT_SIZE : SUCCESS;
    }
    *count = 1;
    memset(processes, 0, sizeof *processes);
    processes[0].pid = pid;
    processes[0].used = (device->index == 0 ? 10900 : 10850) * MIB;
    return SUCCESS;
}

int nvmlDeviceGetComputeRunningProcesses_v2(
    struct device *device, unsigned *count, struct process *processes)
{
    ANSWER("ComputeProcesses");
    return list(device, count, processes);
}

int nvmlDeviceGetGraphicsRunningProcesses_v2(
    struct device *device, unsigned *count, struct process *processes)
{
    (void)device, (void)processes;
    ANSWER("GraphicsProcesses");
    *count = 0;
    return SUCCESS;
}

/* Drivers before 510, and so all that still serve a K40m, have the second version only. */
#ifndef WITHOUT_V3
int nvmlDeviceGetComputeRunningProcesses_v3(
    struct device *device, unsigned *count, struct process *processes)
{
    return nvmlDeviceGetComputeRunningProcesses_v2(device, count, processes);
}

int nvmlDeviceGetGraphicsRunningProcesses_v3(
    struct device *device, unsigned *count, struct process *processes)
{
    return nvmlDeviceGetGraphicsRunningProcesses_v2(device, count, processes);
}
#endif
