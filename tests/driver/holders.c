/* Which processes a line "process WHO ..." stands for:
 *
 *   21270            this pid, whether it exists or not
 *   self             the process that loaded the library
 *   descendants      all below that process, as `hpcwatch run` has its program below it; not the
 *                    monitor's own witness, which is a `cat`
 *   name:python      all that are called so, anywhere
 *   file:/tmp/pids   those listed in a file, one a line; none while there is no such file */
#include "scenario.h"

#include <ctype.h>
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct table { int count; unsigned pids[32768], parents[32768]; };

/* The name and the parent of a process; false if it is gone. */
static bool read_stat(unsigned pid, char *name, size_t size, unsigned *parent)
{
    char path[64], text[512];
    snprintf(path, sizeof path, "/proc/%u/stat", pid);
    FILE *file = fopen(path, "r");
    if (!file)
        return false;
    size_t length = fread(text, 1, sizeof text - 1, file);
    fclose(file);
    text[length] = '\0';
    char *opening = strchr(text, '('), *closing = strrchr(text, ')');
    if (!opening || !closing || sscanf(closing + 1, " %*c %u", parent) != 1)
        return false;
    *closing = '\0';
    snprintf(name, size, "%s", opening + 1);
    return true;
}

static int find(unsigned *pids, const char *wanted, struct table *table)
{
    int found = 0;
    struct dirent *entry;
    DIR *proc = opendir("/proc");
    while (proc && (entry = readdir(proc))) {
        char name[64];
        unsigned pid = (unsigned)atoi(entry->d_name), parent;
        if (!isdigit(entry->d_name[0]) || !read_stat(pid, name, sizeof name, &parent))
            continue;
        if (table && table->count < 32768 && strcmp(name, "cat")) {
            table->pids[table->count] = pid;
            table->parents[table->count++] = parent;
        }
        if (wanted && !strcmp(name, wanted) && found < MOST_PIDS)
            pids[found++] = pid;
    }
    if (proc)
        closedir(proc);
    return found;
}

static int descendants(unsigned *pids)
{
    struct table *table = calloc(1, sizeof *table);
    int found = 0, before = -1;
    unsigned root = (unsigned)getpid();
    find(pids, NULL, table);
    while (found != before) { /* until no generation adds another */
        before = found;
        for (int i = 0; i < table->count; i++) {
            bool is_below = table->parents[i] == root, is_known = false;
            for (int j = 0; j < found; j++) {
                is_below |= table->parents[i] == pids[j];
                is_known |= table->pids[i] == pids[j];
            }
            if (is_below && !is_known && found < MOST_PIDS)
                pids[found++] = table->pids[i];
        }
    }
    free(table);
    return found;
}

static int listed(const char *path, unsigned *pids)
{
    int found = 0;
    FILE *file = fopen(path, "r");
    while (file && found < MOST_PIDS && fscanf(file, "%u", &pids[found]) == 1)
        found++;
    if (file)
        fclose(file);
    return found;
}

int holder_pids(const struct holder *holder, unsigned *pids)
{
    double now_s = scenario_now_s();
    if (now_s < holder->from_s || now_s >= holder->until_s)
        return 0;
    if (!strncmp(holder->who, "name:", 5))
        return find(pids, holder->who + 5, NULL);
    if (!strncmp(holder->who, "file:", 5))
        return listed(holder->who + 5, pids);
    if (!strcmp(holder->who, "descendants"))
        return descendants(pids);
    pids[0] = !strcmp(holder->who, "self") ? (unsigned)getpid() : (unsigned)atoi(holder->who);
    return 1;
}
