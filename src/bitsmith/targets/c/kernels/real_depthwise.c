#include "real_weight.c"
#include "real_finish.c"
/* kernel */
/* Convolution of every channel by itself, in float. Numbers come in any order of memory and leave channels last. */
struct real_depthwise {
    int32_t in_height, in_width;
    int32_t channels;
    int32_t row_step, column_step, channel_step;    /* elements from one input to the next */
    int32_t out_height, out_width;
    int32_t kernel_height, kernel_width;
    int32_t stride_y, stride_x;
    int32_t dilation_y, dilation_x;
    int32_t pad_top, pad_left;
    const weight_t *weights;                        /* [kernel_height][kernel_width][channels] */
    struct real_finish finish;
    int32_t backwards;                              /* 1: from the last pixel to the first, so that the result may lie behind the input */
};

/* The first place of the kernel that lies inside the input, and the one behind the last. */
KERNEL int32_t real_depthwise_from(int32_t start, int32_t dilation)
{
    return start < 0 ? (dilation - 1 - start) / dilation : 0;
}

KERNEL int32_t real_depthwise_to(int32_t start, int32_t dilation, int32_t size, int32_t kernel)
{
    const int32_t inside = start < size ? (size - start + dilation - 1) / dilation : 0;
    return inside < kernel ? inside : kernel;
}

/* `count` neighbouring channels of one output, four or one. */
KERNEL void real_depthwise_sums(const struct real_depthwise *layer, const float *source, int32_t top, int32_t left, int32_t channel,
                                int32_t count, float *sums)
{
    const int32_t last_row = real_depthwise_to(top, layer->dilation_y, layer->in_height, layer->kernel_height);
    const int32_t last_column = real_depthwise_to(left, layer->dilation_x, layer->in_width, layer->kernel_width);
    const int32_t first_column = real_depthwise_from(left, layer->dilation_x);
    float a = 0.0f, b = 0.0f, c = 0.0f, d = 0.0f;
    for (int32_t i = real_depthwise_from(top, layer->dilation_y); i < last_row; i++) {
        const float *from = source + (top + i * layer->dilation_y) * layer->row_step + channel * layer->channel_step;
        for (int32_t j = first_column; j < last_column; j++) {
            const float *x = from + (left + j * layer->dilation_x) * layer->column_step;
            const int32_t at = (i * layer->kernel_width + j) * layer->channels + channel;
            a += x[0] * real_weight(layer->weights, at);
            if (count == 4) {
                b += x[layer->channel_step] * real_weight(layer->weights, at + 1);
                c += x[2 * layer->channel_step] * real_weight(layer->weights, at + 2);
                d += x[3 * layer->channel_step] * real_weight(layer->weights, at + 3);
            }
        }
    }
    sums[0] = a;
    sums[1] = b;
    sums[2] = c;
    sums[3] = d;
}

KERNEL void real_depthwise(const struct real_depthwise *layer, const float *source, float *result)
{
    float sums[4];
    for (int32_t i = 0; i < layer->out_height; i++) {
        const int32_t y = layer->backwards ? layer->out_height - 1 - i : i;
        for (int32_t j = 0; j < layer->out_width; j++) {
            const int32_t x = layer->backwards ? layer->out_width - 1 - j : j;
            float *pixel = result + (y * layer->out_width + x) * layer->channels;
            int32_t count;
            for (int32_t channel = 0; channel < layer->channels; channel += count) {
                count = layer->channels - channel < 4 ? 1 : 4;
                real_depthwise_sums(layer, source, y * layer->stride_y - layer->pad_top, x * layer->stride_x - layer->pad_left,
                                    channel, count, sums);
                real_finish(&layer->finish, sums, channel, count, pixel + channel);
            }
        }
    }
}
