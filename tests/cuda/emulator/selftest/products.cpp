// Products of matrices, against sums in double precision.
#include "selftest.h"

void products() {
  void *blas;
  MUST(cublasCreate_v2(&blas));
  bool right = true;
  for (int m : {1, 5, 97})
    for (int n : {1, 9, 33})
      for (int k : {1, 17, 600})
        for (int t = 0; t < 4; t++) {
          int ta = t & 1, tb = t >> 1, lda = (ta ? k : m) + 3, ldb = (tb ? n : k) + 1, ldc = m + 2;
          auto a = numbers<float>(lda * (ta ? m : k)), b = numbers<float>(ldb * (tb ? k : n)), c = numbers<float>(ldc * n);
          Buffer<float> da(a), db(b), dc(c);
          float alpha = 0.5, beta = 2;
          MUST(cublasSgemm_v2(blas, ta, tb, m, n, k, &alpha, da.start, lda, db.start, ldb, &beta, dc.start, ldc));
          auto found = dc.read();
          for (int j = 0; j < n; j++)
            for (int i = 0; i < ldc; i++) {
              double sum = 0;
              for (int p = 0; p < k && i < m; p++)
                sum += double(a[ta ? p + i * lda : i + p * lda]) * b[tb ? j + p * ldb : p + j * ldb];
              right &= std::abs(found[i + j * ldc] - (i < m ? alpha * sum + beta * c[i + j * ldc] : c[i + j * ldc])) < 1e-3;
            }
        }
  check(right, "products, transposed or not, of rows with gaps");
  float one = 1, zero = 0;
  Buffer<float> a({1, 2, 3, 4, 5, 6}), x({1, 9, 1, 9, 1, 9}), y({NAN, 7, NAN});
  MUST(cublasSgemv_v2(blas, 0, 2, 3, &one, a.start, 2, x.start, 2, &zero, y.start, 2));
  check(y.read() == std::vector<float>{9, 7, 12}, "a matrix times a vector, into what was NaN");
  check(cublasSgemm_v2(blas, 0, 0, 3, 3, 3, &one, a.start, 3, a.start, 3, &one, a.start, 3) == 7,
        "a product lies in its blocks");
  // [1 2; 1 2]ᵀ times each of two columns of halves.
  Buffer<uint16_t> left({0x3c00, 0x4000}), columns({0x3c00, 0x3c00, 0x4000, 0x4000});
  Buffer<float> out(std::vector<float>(2));
  MUST(cublasGemmStridedBatchedEx(blas, 1, 0, 1, 1, 2, &one, left.start, 2, 2, 0, columns.start, 2, 2, 2, &zero,
                                  out.start, 0, 1, 1, 2, 68, -1));
  check(out.read() == std::vector<float>{3, 6}, "a batch of products of halves");
}
