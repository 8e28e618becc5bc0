// SPDX-License-Identifier: Apache-2.0
// Hadoop's own client, for tests/bench/hdfs: the patterns of tests/bench/client.c, and
//   fill DIR COUNT    COUNT empty files in a folder

import java.nio.file.Files;
import java.nio.file.Path;
import java.util.Arrays;
import java.util.concurrent.ExecutorService;
import java.util.concurrent.Executors;
import java.util.concurrent.TimeUnit;
import org.apache.hadoop.conf.Configuration;
import org.apache.hadoop.fs.FSDataInputStream;
import org.apache.hadoop.fs.FSDataOutputStream;
import org.apache.hadoop.fs.FileSystem;
import org.apache.hadoop.fs.RemoteIterator;

public class HdfsClient {
	static final int CHUNK = 1 << 20;
	static final com.sun.management.OperatingSystemMXBean MACHINE =
		(com.sun.management.OperatingSystemMXBean) java.lang.management.ManagementFactory.getOperatingSystemMXBean();
	static FileSystem fs;
	static org.apache.hadoop.fs.Path path;
	static long amount, bytes, count;
	static int len, samples;
	static double[] us = new double[1 << 16];
	static byte[] buf = new byte[CHUNK];

	static void doneOne(long began, long n) {
		if (samples < us.length)
			us[samples++] = (System.nanoTime() - began) / 1e3;
		bytes += n;
		count++;
	}

	static void seq() throws Exception {
		try (FSDataInputStream in = fs.open(path)) {
			for (;;) {
				long began = System.nanoTime();
				int n = in.read(buf, 0, CHUNK);
				if (n < 0)
					return;
				doneOne(began, n);
			}
		}
	}

	static void random() throws Exception {
		long places = fs.getFileStatus(path).getLen() / len;
		try (FSDataInputStream in = fs.open(path)) {
			for (long i = 0; i < amount; i++) {
				long began = System.nanoTime();
				in.readFully(i * 7919 % places * len, buf, 0, len);
				doneOne(began, len);
			}
		}
	}

	static void stat() throws Exception {
		for (long i = 0; i < amount; i++) {
			long began = System.nanoTime();
			fs.getFileStatus(path);
			doneOne(began, 0);
		}
	}

	static void list() throws Exception {
		RemoteIterator<?> all = fs.listStatusIterator(path);
		for (; all.hasNext(); count++)
			all.next();
	}

	static void write() throws Exception {
		try (FSDataOutputStream out = fs.create(path, true)) {
			for (long off = 0; off < amount; off += CHUNK) {
				int n = (int) Math.min(CHUNK, amount - off);
				out.write(buf, 0, n);
				bytes += n;
			}
		}
		count = 1;
	}

	static void fill() throws Exception {
		ExecutorService pool = Executors.newFixedThreadPool(16);
		fs.mkdirs(path);
		for (long i = 0; i < amount; i++) {
			String name = String.format("f%07d", i);
			pool.submit(() -> {
				fs.create(new org.apache.hadoop.fs.Path(path, name)).close();
				return null;
			});
		}
		pool.shutdown();
		pool.awaitTermination(1, TimeUnit.HOURS);
	}

	static void run(String what) throws Exception {
		switch (what) {
		case "seq": seq(); break;
		case "random": random(); break;
		case "stat": stat(); break;
		case "list": list(); break;
		case "write": write(); break;
		default: throw new IllegalArgumentException(what);
		}
	}

	static String peak() throws Exception {
		for (String line : Files.readAllLines(Path.of("/proc/self/status")))
			if (line.startsWith("VmHWM:"))
				return line.replaceAll("[^0-9]", "");
		return "0";
	}

	static double at(double part) {
		return samples > 0 ? us[(int) ((samples - 1) * part)] : 0;
	}

	public static void main(String[] args) throws Exception {
		path = new org.apache.hadoop.fs.Path(args[1]);
		amount = args.length > 2 ? Long.parseLong(args[2]) : 0;
		len = args.length > 3 ? Integer.parseInt(args[3]) : 0;
		fs = path.getFileSystem(new Configuration());
		if (args[0].equals("fill")) {
			fill();
			return;
		}
		run(args[0]);
		bytes = count = samples = 0;
		long began = System.nanoTime(), cpu = MACHINE.getProcessCpuTime();
		run(args[0]);
		double took = (System.nanoTime() - began) / 1e9, worked = (MACHINE.getProcessCpuTime() - cpu) / 1e9;
		Arrays.sort(us, 0, samples);
		System.out.printf("%.6f %.6f %d %d %.1f %.1f %s%n", took, worked, bytes, count, at(0.5), at(0.99), peak());
	}
}
