/* Counts float32 numbers in one pass: the fast form of `count_plainly` in counting.py, which says in numpy what every line here means.
 *
 * count(values, samples, counts, totals, extremes, tallies, scratch, ends)
 *     values    float32[samples * n], read
 *     counts    int64[65536]      finite numbers by the top 16 bits of their pattern
 *     totals    int64[4 * 20]     exact sums over samples of: sum, sum of squares, minimum, maximum
 *     extremes  float32[2]        minimum and maximum of finite numbers
 *     tallies   int64[4]          samples with a finite number, NaN, +infinity, -infinity
 *     scratch   uint32[SCRATCH]   zeros before and after
 *     ends      float32[2 * samples]   written: minimum and maximum of the finite numbers of each sample; (inf, -inf) where there is none
 * The caller keeps two threads off the same arrays; the interpreter's lock is given back meanwhile.
 */
#define PY_SSIZE_T_CLEAN
#include <Python.h>
#include <math.h>
#include <stdint.h>
#include <string.h>

#if defined(__GNUC__) && !defined(__clang__) && defined(__x86_64__) && defined(__GLIBC__)
#define EVERY_PROCESSOR __attribute__((target_clones("arch=x86-64-v4", "arch=x86-64-v3", "default")))
#else
#define EVERY_PROCESSOR
#endif

enum {
    BINS = 65536,
    GROUP = 128,            /* bins of one sign and exponent */
    COPIES = 4,             /* of the bins: equal neighbours (zeros behind a Relu) do not wait for each other's store */
    STRIDE = BINS + 32,     /* from one copy to the next; at BINS the processor mistakes a bin for its copy, 40 % slower */
    LANES = 16,             /* sums run in so many lanes, number i in lane i % 16, on every machine */
    LIMBS = 20,             /* of 32 bits; an exact sum is limb[i] * 2^(32 * i - 298) */
    UNIT = -298,            /* 2^-298 is the square of the smallest float32 */
    CHUNK = 2048            /* numbers that the second look finds in the first-level cache */
};
static const size_t FULL = (size_t)1 << 30;     /* counted before scratch is emptied: a uint32 cannot overflow */

enum { SUM, SQUARES, MINIMA, MAXIMA, SUMS };
enum { SAMPLES, NAN_COUNT, POSITIVE_INFINITIES, NEGATIVE_INFINITIES, TALLIES };

typedef struct {
    float low[LANES], high[LANES];
    double sum[LANES], squares[LANES];
} Lanes;

typedef struct {
    int64_t *counts, *totals, *tallies;
    float *extremes;
    uint32_t *scratch;
    size_t waiting;         /* numbers in scratch */
    size_t exponents[2];    /* of positive and of negative numbers that may be in scratch, from the smallest on */
} Record;

static uint32_t pattern(const float *value)
{
    uint32_t bits;
    memcpy(&bits, value, sizeof bits);
    return bits;
}

static void open_lanes(Lanes *lanes)
{
    for (int k = 0; k < LANES; k++) {
        lanes->low[k] = INFINITY;
        lanes->high[k] = -INFINITY;
        lanes->sum[k] = lanes->squares[k] = 0;
    }
}

/* NaN compares false and so never becomes an extreme; it does reach the sums, which is how it is noticed.
 * A square is exact in double, so that a fused multiply-add gives the same bits. Local arrays stay in registers. */
EVERY_PROCESSOR
static void add_to_lanes(Lanes *restrict lanes, const float *restrict values, size_t n)
{
    float low[LANES], high[LANES];
    double sum[LANES], squares[LANES];
    memcpy(low, lanes->low, sizeof low);
    memcpy(high, lanes->high, sizeof high);
    memcpy(sum, lanes->sum, sizeof sum);
    memcpy(squares, lanes->squares, sizeof squares);
    for (size_t i = 0; i + LANES <= n; i += LANES)
        for (int k = 0; k < LANES; k++) {
            float x = values[i + k];
            double wide = x;
            low[k] = x < low[k] ? x : low[k];
            high[k] = x > high[k] ? x : high[k];
            sum[k] += wide;
            squares[k] += wide * wide;
        }
    memcpy(lanes->low, low, sizeof low);
    memcpy(lanes->high, high, sizeof high);
    memcpy(lanes->sum, sum, sizeof sum);
    memcpy(lanes->squares, squares, sizeof squares);
}

static void add_to_lane(Lanes *lanes, int k, float x)
{
    double wide = x;
    if (x < lanes->low[k])
        lanes->low[k] = x;
    if (x > lanes->high[k])
        lanes->high[k] = x;
    lanes->sum[k] += wide;
    lanes->squares[k] += wide * wide;
}

/* Halves upon halves: lane k takes lane k + 8, then k + 4, k + 2, k + 1. */
static void close_lanes(Lanes *lanes)
{
    for (int half = LANES / 2; half; half /= 2)
        for (int k = 0; k < half; k++) {
            if (lanes->low[k + half] < lanes->low[k])
                lanes->low[k] = lanes->low[k + half];
            if (lanes->high[k + half] > lanes->high[k])
                lanes->high[k] = lanes->high[k + half];
            lanes->sum[k] += lanes->sum[k + half];
            lanes->squares[k] += lanes->squares[k + half];
        }
}

static void count_chunk(uint32_t *scratch, const float *values, size_t n)
{
    size_t i = 0;
    for (; i + COPIES <= n; i += COPIES)
        for (int k = 0; k < COPIES; k++)
            scratch[k * STRIDE + (pattern(values + i + k) >> 16)]++;
    for (; i < n; i++)
        scratch[pattern(values + i) >> 16]++;
}

/* Scratch of the first so many exponents of a sign goes to the counts; most groups are empty. Those of NaN and infinity are left out. */
EVERY_PROCESSOR
static void empty_groups(int64_t *restrict counts, uint32_t *restrict scratch, size_t groups)
{
    for (size_t group = 0; group < groups; group++, counts += GROUP, scratch += GROUP) {
        uint32_t any = 0;
        for (int copy = 0; copy < COPIES; copy++)
            for (size_t bin = 0; bin < GROUP; bin++)
                any |= scratch[copy * STRIDE + bin];
        if (!any)
            continue;
        for (int copy = 0; copy < COPIES; copy++)
            for (size_t bin = 0; bin < GROUP; bin++) {
                counts[bin] += group < 255 ? scratch[copy * STRIDE + bin] : 0;
                scratch[copy * STRIDE + bin] = 0;
            }
    }
}

static void empty_scratch(Record *record)
{
    empty_groups(record->counts, record->scratch, record->exponents[0]);
    empty_groups(record->counts + BINS / 2, record->scratch + BINS / 2, record->exponents[1]);
    record->waiting = 0;
    record->exponents[0] = record->exponents[1] = 1;
}

/* Exponents up to those of a number, of its own sign, are now in use. */
static void use_exponents(Record *record, float value)
{
    uint32_t bits = pattern(&value);
    size_t exponents = (bits >> 23 & 255) + 1, *used = record->exponents + (bits >> 31);
    *used = exponents > *used ? exponents : *used;
}

/* Limbs from 0 to 2^32 - 1, but for the highest, which carries the sign: one form for each sum. */
static void carry(int64_t *limbs)
{
    for (int i = 0; i + 1 < LIMBS; i++) {
        int64_t low = limbs[i] & 0xffffffff;
        limbs[i + 1] += (limbs[i] - low) / ((int64_t)1 << 32);
        limbs[i] = low;
    }
}

/* Adds a multiple of 2^-298 below 2^310 exactly. */
static void add_exactly(int64_t *limbs, double value)
{
    int exponent;
    int64_t mantissa = (int64_t)ldexp(frexp(value, &exponent), 53);
    int shift = exponent - 53 - UNIT;
    if (!mantissa)
        return;
    if (shift < 0) {
        mantissa /= (int64_t)1 << -shift;
        shift = 0;
    }
    int64_t sign = mantissa < 0 ? -1 : 1;
    uint64_t size = (uint64_t)(mantissa * sign);
    uint64_t low = (size & 0xffffffff) << (shift % 32), high = (size >> 32) << (shift % 32);
    int64_t *limb = limbs + shift / 32;
    limb[0] += sign * (int64_t)(low & 0xffffffff);
    limb[1] += sign * (int64_t)((low >> 32) + (high & 0xffffffff));
    limb[2] += sign * (int64_t)(high >> 32);
    carry(limbs);
}

/* A sample that holds NaN or infinity: these are tallied, and the lanes run again with 0 in their place. */
static size_t add_finite_to_lanes(Record *record, Lanes *lanes, const float *values, size_t n)
{
    size_t finite = 0;
    open_lanes(lanes);
    for (size_t i = 0; i < n; i++) {
        if (isfinite(values[i])) {
            add_to_lane(lanes, (int)(i % LANES), values[i]);
            finite++;
        } else
            record->tallies[isnan(values[i]) ? NAN_COUNT : values[i] > 0 ? POSITIVE_INFINITIES : NEGATIVE_INFINITIES]++;
    }
    close_lanes(lanes);
    return finite;
}

static void count_sample(Record *record, const float *values, size_t n, float *ends)
{
    Lanes lanes;
    size_t finite = n;
    open_lanes(&lanes);
    for (size_t start = 0; start < n; start += CHUNK) {
        size_t length = n - start < CHUNK ? n - start : CHUNK, whole = length - length % LANES;
        if (record->waiting + length > FULL) {
            record->exponents[0] = record->exponents[1] = 256;
            empty_scratch(record);
        }
        record->waiting += length;
        add_to_lanes(&lanes, values + start, whole);
        for (size_t i = whole; i < length; i++)
            add_to_lane(&lanes, (int)(i % LANES), values[start + i]);
        count_chunk(record->scratch, values + start, length);
    }
    close_lanes(&lanes);
    if (isfinite(lanes.squares[0])) {
        use_exponents(record, lanes.low[0]);
        use_exponents(record, lanes.high[0]);
    } else {
        record->exponents[0] = record->exponents[1] = 256;
        finite = add_finite_to_lanes(record, &lanes, values, n);
    }
    ends[0] = INFINITY;
    ends[1] = -INFINITY;
    if (!finite)
        return;
    float low = lanes.low[0] + 0.0f, high = lanes.high[0] + 0.0f;          /* -0 becomes 0 */
    ends[0] = low;
    ends[1] = high;
    if (low < record->extremes[0])
        record->extremes[0] = low;
    if (high > record->extremes[1])
        record->extremes[1] = high;
    add_exactly(record->totals + SUM * LIMBS, lanes.sum[0]);
    add_exactly(record->totals + SQUARES * LIMBS, lanes.squares[0]);
    add_exactly(record->totals + MINIMA * LIMBS, low);
    add_exactly(record->totals + MAXIMA * LIMBS, high);
    record->tallies[SAMPLES]++;
}

enum { VALUES, COUNTS, TOTALS, EXTREMES, TALLY, SCRATCH, ENDS, BUFFERS };
static const Py_ssize_t BYTES[BUFFERS] = {-1, BINS * 8, SUMS * LIMBS * 8, 2 * 4, TALLIES * 8, COPIES * STRIDE * 4, -1};

/* Buffers of the right size and type, or ValueError; returns how many were taken. */
static int take_buffers(PyObject *const *objects, Py_buffer *buffers)
{
    static const char *const types[BUFFERS] = {"f", "lq", "lq", "f", "lq", "IL", "f"};
    for (int i = 0; i < BUFFERS; i++) {
        int flags = PyBUF_C_CONTIGUOUS | PyBUF_FORMAT | (i == VALUES ? 0 : PyBUF_WRITABLE);
        if (PyObject_GetBuffer(objects[i], buffers + i, flags))
            return i;
        Py_ssize_t width = i == VALUES || i == EXTREMES || i == SCRATCH || i == ENDS ? 4 : 8;
        const char *type = buffers[i].format;
        if (!type || !type[0] || type[1] || !strchr(types[i], type[0]) || buffers[i].itemsize != width
            || (BYTES[i] >= 0 && buffers[i].len != BYTES[i])) {
            PyErr_Format(PyExc_ValueError, "buffer %d has the wrong type or size", i);
            return i + 1;
        }
    }
    return BUFFERS;
}

static PyObject *count(PyObject *module, PyObject *arguments)
{
    PyObject *objects[BUFFERS], *result = NULL;
    Py_buffer buffers[BUFFERS];
    Py_ssize_t samples;
    if (!PyArg_ParseTuple(arguments, "OnOOOOOO", objects, &samples, objects + 1, objects + 2, objects + 3, objects + 4, objects + 5,
                          objects + 6))
        return NULL;
    int taken = take_buffers(objects, buffers);
    if (!PyErr_Occurred()) {
        Py_ssize_t numbers = buffers[VALUES].len / 4;
        if (samples < 1 || numbers % samples)
            PyErr_Format(PyExc_ValueError, "%zd numbers are not those of %zd samples", numbers, samples);
        else if (buffers[ENDS].len / 8 != samples || buffers[ENDS].len % 8)
            PyErr_Format(PyExc_ValueError, "buffer %d has the wrong type or size", ENDS);
        else {
            Record record = {buffers[COUNTS].buf, buffers[TOTALS].buf, buffers[TALLY].buf, buffers[EXTREMES].buf, buffers[SCRATCH].buf, 0, {1, 1}};
            const float *values = buffers[VALUES].buf;
            float *ends = buffers[ENDS].buf;
            size_t each = (size_t)(numbers / samples);
            Py_BEGIN_ALLOW_THREADS
            for (Py_ssize_t i = 0; i < samples; i++)
                count_sample(&record, values + (size_t)i * each, each, ends + 2 * i);
            empty_scratch(&record);
            Py_END_ALLOW_THREADS
            result = Py_NewRef(Py_None);
        }
    }
    while (taken--)
        PyBuffer_Release(buffers + taken);
    return result;
}

static PyMethodDef METHODS[] = {{"count", count, METH_VARARGS, NULL}, {NULL, NULL, 0, NULL}};
static struct PyModuleDef MODULE = {PyModuleDef_HEAD_INIT, "_count", NULL, 0, METHODS, NULL, NULL, NULL, NULL};

PyMODINIT_FUNC PyInit__count(void)
{
    PyObject *module = PyModule_Create(&MODULE);
    if (module && PyModule_AddIntConstant(module, "SCRATCH", COPIES * STRIDE)) {
        Py_DECREF(module);
        return NULL;
    }
    return module;
}
