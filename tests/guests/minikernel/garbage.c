/* What no reader of a console may stumble over. */
#include "kernel.h"

void talk_garbage(bool as_metrics)
{
	if (!as_metrics) {
		for (int i = 0; i < 65536; i++)
			serial_put((char)(random_number() >> 32));
		print("\n");
		return;
	}
	print("METRIC ctx_switch_ns=banana\nMETRIC ctx_switch_ns=inf\nMETRIC ctx_switch_ns=nan\n");
	print("METRIC ctx_switch_ns=-5\nMETRIC ctx_switch_ns=1e400\nMETRIC ctx_switch_ns=\nMETRIC =5\nMETRIC\n");
	print("METRIC ");
	for (int i = 0; i < 10000; i++)
		serial_put('a');
	print("=1\n");
	for (uint64_t i = 0; i < 1000; i++)
		print("METRIC m%u=%u\n", i, i);
}
