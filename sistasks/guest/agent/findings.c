/* What a test saw of a rule: `FINDING <rule> <outcome> <evidence>`, read by sistasks/protocols/findings.py. */
#include <stdarg.h>
#include <stdio.h>

#include "sis.h"

#define EVIDENCE_MAX 1000

void finding(const char *rule, const char *outcome, const char *format, ...)
{
    char evidence[EVIDENCE_MAX];
    va_list arguments;
    va_start(arguments, format);
    vsnprintf(evidence, sizeof evidence, format, arguments);
    va_end(arguments);
    for (char *at = evidence; *at != '\0'; at++) {
        if (*at == '\n') {
            *at = ' ';
        }
    }
    channel_text(FRAME_LINES, "FINDING %s %s %s\n", rule, outcome, evidence);
}
