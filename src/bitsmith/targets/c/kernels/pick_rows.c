#include <stdint.h>
#include <string.h>
#define KERNEL static inline
typedef int32_t source_t;
typedef uint8_t result_t;
/* kernel */
/* Rows of a table by indices, which may count from the end; 1: an index is outside the table. */
struct pick_rows {
    int32_t count;                                  /* of indices */
    int32_t rows;                                   /* of the table */
    int32_t run;                                    /* codes in a row */
    const result_t *table;                          /* [rows][run] */
};

KERNEL int pick_rows(const struct pick_rows *layer, const source_t *source, result_t *result)
{
    for (int32_t i = 0; i < layer->count; i++) {
        const int32_t given = source[i];
        const int32_t index = given < 0 ? given + layer->rows : given;
        if (index < 0 || index >= layer->rows) {
            return 1;
        }
        memcpy(result + i * layer->run, layer->table + index * layer->run, (size_t)layer->run * sizeof(result_t));
    }
    return 0;
}
