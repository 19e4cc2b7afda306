// Functions of numbers, and half precision.
#pragma once

static inline int __float_as_int(float x) { return emulator_bits<int>(x); }
static inline unsigned __float_as_uint(float x) { return emulator_bits<unsigned>(x); }
static inline float __int_as_float(int x) { return emulator_bits<float>(x); }
static inline float __uint_as_float(unsigned x) { return emulator_bits<float>(x); }
static inline long long __double_as_longlong(double x) { return emulator_bits<long long>(x); }
static inline double __longlong_as_double(long long x) { return emulator_bits<double>(x); }
static inline int __popc(unsigned x) { return __builtin_popcount(x); }
static inline int __ffs(int x) { return __builtin_ffs(x); }
static inline int __clz(int x) { return x ? __builtin_clz(x) : 32; }

// CUDA's min and max take any two numbers.
template <class A, class B> static inline std::common_type_t<A, B> min(A a, B b) {
  using T = std::common_type_t<A, B>;
  return T(a) < T(b) ? T(a) : T(b);
}
template <class A, class B> static inline std::common_type_t<A, B> max(A a, B b) {
  using T = std::common_type_t<A, B>;
  return T(a) < T(b) ? T(b) : T(a);
}
template <class T> static inline T __ldg(const T *p) { return *p; }

#define __expf(x) expf(x)
#define __logf(x) logf(x)
#define __sinf(x) sinf(x)
#define __cosf(x) cosf(x)
#define __powf(x, y) powf(x, y)
#define __fmaf_rn(x, y, z) fmaf(x, y, z)
#define __fsqrt_rn(x) sqrtf(x)
static inline float __fdividef(float a, float b) { return a / b; }
static inline float __frcp_rn(float x) { return 1 / x; }
static inline float rsqrtf(float x) { return 1 / sqrtf(x); }
static inline double rsqrt(double x) { return 1 / sqrt(x); }
static inline float __saturatef(float x) { return fminf(fmaxf(x, 0), 1); }
// Of multiples of pi, without rounding the product.
static inline float sinpif(float x) { return sin(3.14159265358979323846 * remainder(x, 2)); }
static inline float cospif(float x) { return cos(3.14159265358979323846 * remainder(x, 2)); }
static inline void sincospif(float x, float *s, float *c) { *s = sinpif(x), *c = cospif(x); }

// Every operation is exact in float and then rounded, which is what the hardware's own gives too.
struct __half {
  uint16_t bits;
  __half() = default;
  __half(float x) : bits(emulator_bits<uint16_t>(_Float16(x))) {}
  __half(double x) : bits(emulator_bits<uint16_t>(_Float16(x))) {}
  template <class T, class = std::enable_if_t<std::is_integral_v<T>>> __half(T x) : __half(double(x)) {}
  operator float() const { return float(emulator_bits<_Float16>(bits)); }
  template <class T, class = std::enable_if_t<std::is_integral_v<T>>> operator T() const { return T(float(*this)); }
  __half &operator+=(__half y);
  __half &operator-=(__half y);
  __half &operator*=(__half y);
  __half &operator/=(__half y);
};
typedef __half half;
#define EMULATOR_HALF(op, name) \
  static inline __half operator op(const __half &a, const __half &b) { return __half(float(a) op float(b)); } \
  static inline __half name(__half a, __half b) { return a op b; } \
  inline __half &__half::operator op##=(__half y) { return *this = *this op y; }
EMULATOR_HALF(+, __hadd)
EMULATOR_HALF(-, __hsub)
EMULATOR_HALF(*, __hmul)
EMULATOR_HALF(/, __hdiv)
#define EMULATOR_COMPARE(op, name) \
  static inline bool operator op(const __half &a, const __half &b) { return float(a) op float(b); } \
  static inline bool name(__half a, __half b) { return a op b; }
EMULATOR_COMPARE(==, __heq)
EMULATOR_COMPARE(!=, __hne)
EMULATOR_COMPARE(<, __hlt)
EMULATOR_COMPARE(>, __hgt)
EMULATOR_COMPARE(<=, __hle)
EMULATOR_COMPARE(>=, __hge)
static inline __half __ushort_as_half(unsigned short x) { __half y; y.bits = x; return y; }
static inline unsigned short __half_as_ushort(__half x) { return x.bits; }
static inline __half operator-(const __half &a) { return __ushort_as_half(a.bits ^ 0x8000); }
static inline __half operator+(const __half &a) { return a; }
static inline __half __hneg(__half a) { return -a; }
static inline __half __habs(__half x) { return __ushort_as_half(x.bits & 0x7fff); }
static inline float __half2float(__half x) { return x; }
static inline __half __float2half(float x) { return x; }
static inline __half __float2half_rn(float x) { return x; }
static inline __half __double2half(double x) { return x; }
static inline bool __hisnan(__half x) { return isnan(float(x)); }
static inline __half __hmax_nan(__half a, __half b) { return __hisnan(a) ? a : __hisnan(b) ? b : a < b ? b : a; }
static inline __half __hmin_nan(__half a, __half b) { return __hisnan(a) ? a : __hisnan(b) ? b : b < a ? b : a; }
static inline __half __hmax(__half a, __half b) { return fmaxf(a, b); }
static inline __half __hmin(__half a, __half b) { return fminf(a, b); }
static inline __half __hfma(__half a, __half b, __half c) { return double(float(a)) * float(b) + float(c); }
static inline __half hcos(__half x) { return cosf(x); }
static inline __half hsin(__half x) { return sinf(x); }
static inline __half hsqrt(__half x) { return sqrtf(x); }
static inline __half hrsqrt(__half x) { return rsqrtf(x); }
static inline __half hlog(__half x) { return logf(x); }
static inline __half hexp(__half x) { return expf(x); }
static inline __half hrcp(__half x) { return 1 / float(x); }

struct __align__(4) __half2 { __half x, y; };
typedef __half2 half2;
static inline __half2 __halves2half2(__half x, __half y) { return {x, y}; }
static inline __half2 make_half2(__half x, __half y) { return {x, y}; }
static inline __half2 __half2half2(__half x) { return {x, x}; }
static inline __half2 __float2half2_rn(float x) { return {x, x}; }
static inline __half2 __floats2half2_rn(float x, float y) { return {x, y}; }
static inline __half2 __float22half2_rn(float2 a) { return {a.x, a.y}; }
static inline float2 __half22float2(__half2 a) { return {a.x, a.y}; }
static inline __half __low2half(__half2 a) { return a.x; }
static inline __half __high2half(__half2 a) { return a.y; }
static inline float __low2float(__half2 a) { return a.x; }
static inline float __high2float(__half2 a) { return a.y; }
static inline __half2 __hadd2(__half2 a, __half2 b) { return {a.x + b.x, a.y + b.y}; }
static inline __half2 __hsub2(__half2 a, __half2 b) { return {a.x - b.x, a.y - b.y}; }
static inline __half2 __hmul2(__half2 a, __half2 b) { return {a.x * b.x, a.y * b.y}; }
static inline __half2 __hfma2(__half2 a, __half2 b, __half2 c) { return {__hfma(a.x, b.x, c.x), __hfma(a.y, b.y, c.y)}; }
static inline __half2 h2exp(__half2 a) { return {hexp(a.x), hexp(a.y)}; }
