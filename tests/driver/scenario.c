/* Reads the scenario and evaluates it. The format is described in README.md beside this file. */
#define _GNU_SOURCE
#include "scenario.h"

#include <dlfcn.h>
#include <fnmatch.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

static struct device devices[MOST_DEVICES];
static struct device nobody; /* rules for calls that name no device */
static int device_count;
static double origin_s;
static char clock_path[1024];
static bool is_loaded;
static const char *place = "scenario";
static int line_number;

static void give_up(const char *what, const char *word)
{
    fprintf(stderr, "%s:%d: %s: %s\n", place, line_number, what, word ? word : "nothing");
    exit(3);
}

static double clock_s(void)
{
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec + now.tv_nsec / 1e9;
}

/* With a clock of its own time stands still but for what somebody writes into its file. */
double scenario_now_s(void)
{
    double now_s = 0;
    if (!*clock_path)
        return clock_s() - origin_s;
    FILE *file = fopen(clock_path, "r");
    if (file && fscanf(file, "%lf", &now_s) != 1)
        now_s = 0;
    if (file)
        fclose(file);
    return now_s;
}

/* A number with a binary suffix, as in 10950M. */
static double number(const char *word)
{
    char *end;
    if (!word)
        give_up("a number is missing after", "the line's last word");
    double value = strtod(word, &end);
    const char *suffix = *end ? strchr("KMGT", *end) : NULL;
    if (end == word || (*end && !suffix) || (suffix && end[1]))
        give_up("no number", word);
    for (int power = suffix ? (int)(suffix - "KMGT") + 1 : 0; power > 0; power--)
        value *= 1024;
    return value;
}

static void copy(char *target, size_t size, const char *text)
{
    if (!text || strlen(text) >= size)
        give_up("missing or too long", text);
    strcpy(target, text);
}

/* One word of a series: 77, @10=80 (a step), @60~90 (a ramp that ends there). */
static void add_point(struct series *series, char *word)
{
    struct point point = {-INFINITY, 0, false};
    if (series->count == MOST_POINTS)
        give_up("too many points", word);
    if (*word == '@') {
        char *sign = strpbrk(word, "=~");
        if (!sign)
            give_up("no step (@TIME=VALUE) or ramp (@TIME~VALUE)", word);
        point.is_ramp = *sign == '~';
        *sign = '\0';
        point.at_s = number(word + 1);
        word = sign + 1;
    }
    point.value = number(word);
    series->points[series->count++] = point;
}

static void read_series(struct series *series, const char *key, char **rest)
{
    char *word;
    copy(series->key, sizeof series->key, key);
    while ((word = strtok_r(NULL, " \t\n", rest))) {
        if (!strcmp(word, "loop"))
            series->loop_s = number(strtok_r(NULL, " \t\n", rest));
        else
            add_point(series, word);
    }
    if (!series->count)
        give_up("no values for", key);
}

double series_value(const struct series *series, double at_s)
{
    if (series->loop_s > 0)
        at_s = fmod(fmax(at_s, 0), series->loop_s);
    double value = series->points[0].value, since_s = 0;
    for (int i = 0; i < series->count; i++) {
        const struct point *point = &series->points[i];
        if (at_s < point->at_s) {
            if (point->is_ramp && at_s > since_s)
                value += (point->value - value) * (at_s - since_s) / (point->at_s - since_s);
            break;
        }
        value = point->value;
        since_s = fmax(point->at_s, 0);
    }
    return value;
}

bool value_at(const struct device *device, const char *key, double at_s, double *value)
{
    for (int i = 0; i < device->series_count; i++)
        if (!strcmp(device->series[i].key, key)) {
            *value = series_value(&device->series[i], at_s);
            return true;
        }
    return false;
}

bool value_of(const struct device *device, const char *key, double *value)
{
    return value_at(device, key, scenario_now_s(), value);
}

static void read_window(double *from_s, double *until_s, char **rest)
{
    char *word = strtok_r(NULL, " \t\n", rest);
    *from_s = word ? number(word) : -INFINITY;
    word = word ? strtok_r(NULL, " \t\n", rest) : NULL;
    *until_s = word ? number(word) : INFINITY;
}

/* fail FUNCTION CODE [FROM [UNTIL]], hang FUNCTION SECONDS|forever [FROM [UNTIL]] */
static void read_rule(struct device *device, bool is_hang, char **rest)
{
    if (device->rule_count == MOST_RULES)
        give_up("too many rules", device->name);
    struct rule *rule = &device->rules[device->rule_count++];
    copy(rule->function, sizeof rule->function, strtok_r(NULL, " \t\n", rest));
    char *word = strtok_r(NULL, " \t\n", rest);
    if (is_hang)
        rule->hang_s = word && !strcmp(word, "forever") ? INFINITY : number(word);
    else
        rule->code = (int)number(word);
    read_window(&rule->from_s, &rule->until_s, rest);
}

static void constant(struct series *series, double value)
{
    series->count = 1;
    series->points[0] = (struct point){-INFINITY, value, false};
}

/* process WHO [memory=N] [sm=N] [peak=N] [from=S] [until=S] [graphics] */
static void read_holder(struct device *device, char **rest)
{
    if (device->holder_count == MOST_HOLDERS)
        give_up("too many processes", device->name);
    struct holder *holder = &device->holders[device->holder_count++];
    char *word;
    holder->from_s = -INFINITY;
    holder->until_s = INFINITY;
    copy(holder->who, sizeof holder->who, strtok_r(NULL, " \t\n", rest));
    while ((word = strtok_r(NULL, " \t\n", rest))) {
        char *sign = strchr(word, '=');
        if (!strcmp(word, "graphics") || !strcmp(word, "mps")) {
            *(*word == 'g' ? &holder->is_graphics : &holder->is_mps) = true;
            continue;
        }
        if (!sign)
            give_up("no NAME=VALUE", word);
        *sign = '\0';
        double value = number(sign + 1);
        if (!strcmp(word, "memory"))
            constant(&holder->memory, value);
        else if (!strcmp(word, "sm"))
            constant(&holder->sm, value);
        else if (!strcmp(word, "peak"))
            constant(&holder->peak, value);
        else if (!strcmp(word, "from"))
            holder->from_s = value;
        else if (!strcmp(word, "until"))
            holder->until_s = value;
        else
            give_up("unknown word of a process", word);
    }
}

static struct device *add_device(struct device *parent, int index)
{
    if (device_count == MOST_DEVICES)
        give_up("too many devices", NULL);
    struct device *device = &devices[device_count++];
    device->index = index;
    device->parent = parent;
    device->absent_from_s = INFINITY;
    device->gpu_instance = device->compute_instance = ~0u;
    return device;
}

/* 0 is a device, 0.1 the MIG instance 1 of it, - no device; made when first named. */
static struct device *named(const char *word)
{
    int index, instance, read = 0;
    if (!strcmp(word, "-"))
        return &nobody;
    if (sscanf(word, "%d.%d%n", &index, &instance, &read) == 2 && !word[read]) {
        struct device *parent = scenario_device(index);
        if (!parent)
            give_up("name the device before its instance", word);
        struct device *found = scenario_instance(parent, instance);
        return found ? found : add_device(parent, instance);
    }
    if (sscanf(word, "%d%n", &index, &read) != 1 || word[read])
        give_up("no device (0, 0.1 or -)", word);
    struct device *found = scenario_device(index);
    return found ? found : add_device(NULL, index);
}

static void read_rest_of_line(char *target, size_t size, char **rest)
{
    char *text = *rest + strspn(*rest, " \t");
    text[strcspn(text, "\n")] = '\0';
    copy(target, size, text);
}

static void read_line(struct device *device, const char *key, char **rest)
{
    if (!strcmp(key, "name"))
        read_rest_of_line(device->name, sizeof device->name, rest);
    else if (!strcmp(key, "uuid"))
        read_rest_of_line(device->uuid, sizeof device->uuid, rest);
    else if (!strcmp(key, "instance")) {
        device->gpu_instance = (unsigned)number(strtok_r(NULL, " \t\n", rest));
        device->compute_instance = (unsigned)number(strtok_r(NULL, " \t\n", rest));
    } else if (!strcmp(key, "absent"))
        read_window(&device->absent_from_s, &device->absent_until_s, rest);
    else if (!strcmp(key, "fail") || !strcmp(key, "hang"))
        read_rule(device, *key == 'h', rest);
    else if (!strcmp(key, "process"))
        read_holder(device, rest);
    else if (!strcmp(key, "xid")) {
        if (device->xid_count == MOST_XIDS)
            give_up("too many Xids", device->name);
        struct xid *xid = &device->xids[device->xid_count++];
        xid->code = (unsigned long long)number(strtok_r(NULL, " \t\n", rest));
        xid->at_s = number(strtok_r(NULL, " \t\n", rest));
    } else {
        if (device->series_count == MOST_SERIES)
            give_up("too many values", key);
        read_series(&device->series[device->series_count++], key, rest);
    }
}

/* The file that $NVML_SCENARIO names, else the one called "scenario" beside the library. */
static FILE *open_scenario(struct stat *about)
{
    static char beside[4096];
    Dl_info library;
    const char *path = getenv("NVML_SCENARIO");
    if (!path && dladdr((void *)scenario_load, &library)) {
        snprintf(beside, sizeof beside, "%s", library.dli_fname);
        char *slash = strrchr(beside, '/');
        strcpy(slash ? slash + 1 : beside, "scenario");
        path = beside;
    }
    FILE *file = path ? fopen(path, "r") : NULL;
    if (!file || fstat(fileno(file), about))
        give_up("cannot read", path);
    place = path;
    return file;
}

static char driver[32] = "580.65.06";

const char *scenario_driver(void)
{
    return driver;
}

void scenario_load(void)
{
    struct stat about;
    char line[1024], *rest;
    if (is_loaded)
        return;
    is_loaded = true;
    FILE *file = open_scenario(&about);
    origin_s = clock_s();
    while (fgets(line, sizeof line, file)) {
        line_number++;
        line[strcspn(line, "#")] = '\0';
        char *word = strtok_r(line, " \t\n", &rest);
        if (!word || !strcmp(word, "lacks")) /* what is lacking was left out when linking */
            continue;
        char *key = strtok_r(NULL, " \t\n", &rest);
        if (!key)
            give_up("only one word", word);
        if (!strcmp(word, "origin") && !strcmp(key, "file"))
            origin_s = about.st_mtim.tv_sec + about.st_mtim.tv_nsec / 1e9;
        else if (!strcmp(word, "driver"))
            copy(driver, sizeof driver, key);
        else if (!strcmp(word, "clock"))
            copy(clock_path, sizeof clock_path, key);
        else
            read_line(named(word), key, &rest);
    }
    fclose(file);
}

static bool is_within(double from_s, double until_s)
{
    double now_s = scenario_now_s();
    return now_s >= from_s && now_s < until_s;
}

bool is_present(const struct device *device)
{
    return !is_within(device->absent_from_s, device->absent_until_s);
}

struct device *scenario_device(int index)
{
    for (int i = 0; i < device_count; i++)
        if (!devices[i].parent && devices[i].index == index)
            return &devices[i];
    return NULL;
}

struct device *scenario_instance(struct device *parent, int index)
{
    for (int i = 0; i < device_count; i++)
        if (devices[i].parent == parent && devices[i].index == index)
            return &devices[i];
    return NULL;
}

int scenario_device_count(void)
{
    int present = 0;
    for (int i = 0; i < device_count; i++)
        present += !devices[i].parent && is_present(&devices[i]);
    return present;
}

static void wait_s(double seconds)
{
    while (isinf(seconds))
        pause();
    struct timespec time = {(time_t)seconds, (long)(fmod(seconds, 1) * 1e9)};
    nanosleep(&time, NULL);
}

int obey(struct device *device, const char *function)
{
    struct device *asked = device ? device : &nobody;
    if (device && !is_present(device))
        return GPU_IS_LOST;
    for (int i = 0; i < asked->rule_count; i++) {
        struct rule *rule = &asked->rules[i];
        if (fnmatch(rule->function, function, 0) || !is_within(rule->from_s, rule->until_s))
            continue;
        if (rule->hang_s > 0)
            wait_s(rule->hang_s);
        else
            return rule->code;
    }
    return SUCCESS;
}
