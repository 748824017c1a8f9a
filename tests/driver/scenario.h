/* What the stand-in for NVIDIA's driver library knows of its devices: the parsed scenario. */
#ifndef SCENARIO_H
#define SCENARIO_H

#include <stdbool.h>

/* NVML's return codes (nvmlReturn_t in nvml.h of the PyPI package nvidia-nvml-dev). */
enum {
    SUCCESS = 0, UNINITIALIZED = 1, INVALID_ARGUMENT = 2, NOT_SUPPORTED = 3, NOT_FOUND = 6,
    INSUFFICIENT_SIZE = 7, TIMEOUT = 10, FUNCTION_NOT_FOUND = 13, GPU_IS_LOST = 15, ARGUMENT_VERSION_MISMATCH = 25
};

enum { MOST_POINTS = 24, MOST_SERIES = 48, MOST_RULES = 24, MOST_HOLDERS = 16, MOST_DEVICES = 64 };
enum { MOST_PIDS = 256, MOST_XIDS = 16 };

/* A value over time: steps, and ramps from the point before. */
struct point { double at_s, value; bool is_ramp; };
struct series { char key[32]; int count; double loop_s; struct point points[MOST_POINTS]; };

/* A call that fails or hangs for a while. The name may end in '*'. */
struct rule { char function[64]; int code; double hang_s, from_s, until_s; };

/* Processes with a context: a pid, or words that find some in /proc. */
struct holder {
    char who[128];
    bool is_graphics, is_mps;
    double from_s, until_s;
    struct series memory, sm, peak;
};

struct xid { unsigned long long code; double at_s; bool is_told; };

struct device {
    int index;               /* of the device, or of the MIG instance on its parent */
    struct device *parent;   /* NULL if it is no MIG instance */
    char name[96], uuid[96];
    unsigned gpu_instance, compute_instance;
    double absent_from_s, absent_until_s;
    int series_count, rule_count, holder_count, xid_count;
    struct series series[MOST_SERIES];
    struct rule rules[MOST_RULES];
    struct holder holders[MOST_HOLDERS];
    struct xid xids[MOST_XIDS];
};

/* The scenario is read when the library is first started, and time starts then. */
void scenario_load(void);
double scenario_now_s(void);

/* The version that the driver pretends to be: "352.93". */
const char *scenario_driver(void);

/* Devices in order; a MIG instance of one, by its index there. NULL if there is none. */
struct device *scenario_device(int index);
struct device *scenario_instance(struct device *parent, int index);
int scenario_device_count(void);
bool is_present(const struct device *device);

/* Obey the rules for a call: hang, and return what it shall return. NULL: of no device. */
int obey(struct device *device, const char *function);

/* A value now or at a time; false if the scenario does not give it. */
bool value_of(const struct device *device, const char *key, double *value);
bool value_at(const struct device *device, const char *key, double at_s, double *value);
double series_value(const struct series *series, double at_s);

/* Pids that a holder stands for now: how many of at most MOST_PIDS. */
int holder_pids(const struct holder *holder, unsigned *pids);

#endif
