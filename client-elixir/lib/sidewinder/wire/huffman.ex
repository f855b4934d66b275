defmodule Sidewinder.Wire.Huffman do
  @moduledoc """
  The Huffman code of HPACK (RFC 7541, appendix B).

  The code is canonical: symbols of one length have consecutive codes in their own order, and a longer code goes on
  where the shorter ones ended. So the lengths alone are the whole table, and codes are counted up when this module is
  compiled.

  Reading goes by half bytes. A state is a place in the tree of codes; no code is shorter than five bits, so half a byte
  completes at most one symbol, and a step is one look into a tuple.
  """

  import Bitwise

  # Bits of the code of each byte, and of the end of a string (256).
  @lengths [
    [13, 23, 28, 28, 28, 28, 28, 28, 28, 24, 30, 28, 28, 30, 28, 28],
    [28, 28, 28, 28, 28, 28, 30, 28, 28, 28, 28, 28, 28, 28, 28, 28],
    [6, 10, 10, 12, 13, 6, 8, 11, 10, 10, 8, 11, 8, 6, 6, 6],
    [5, 5, 5, 6, 6, 6, 6, 6, 6, 6, 7, 8, 15, 6, 12, 10],
    [13, 6, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7, 7],
    [7, 7, 7, 7, 7, 7, 7, 7, 8, 7, 8, 13, 19, 13, 14, 6],
    [15, 5, 6, 5, 6, 5, 6, 6, 6, 5, 7, 7, 6, 6, 6, 5],
    [6, 7, 6, 5, 5, 6, 7, 7, 7, 7, 7, 15, 11, 14, 13, 28],
    [20, 22, 20, 20, 22, 22, 22, 23, 22, 23, 23, 23, 23, 23, 24, 23],
    [24, 24, 22, 23, 24, 23, 23, 23, 23, 21, 22, 23, 22, 23, 23, 24],
    [22, 21, 20, 22, 22, 23, 23, 21, 23, 22, 22, 24, 21, 22, 23, 23],
    [21, 21, 22, 21, 23, 22, 23, 23, 20, 22, 22, 22, 23, 22, 22, 23],
    [26, 26, 20, 19, 22, 23, 22, 25, 26, 26, 26, 27, 27, 26, 24, 25],
    [19, 21, 26, 27, 27, 26, 27, 24, 21, 21, 26, 26, 28, 27, 27, 27],
    [20, 24, 20, 21, 22, 21, 21, 23, 22, 22, 25, 25, 24, 24, 26, 23],
    [26, 27, 26, 26, 27, 27, 27, 27, 27, 28, 27, 27, 27, 27, 27, 26],
    [30]
  ]

  @codes @lengths
         |> List.flatten()
         |> Enum.with_index()
         |> Enum.sort()
         |> Enum.map_reduce({0, 0}, fn {length, symbol}, {next, before} ->
           code = next <<< (length - before)
           {{symbol, code, length}, {code + 1, length}}
         end)
         |> elem(0)

  # Symbol to {code, length}.
  @encoding @codes |> Enum.sort() |> Enum.map(fn {_, code, length} -> {code, length} end) |> List.to_tuple()

  # Every proper beginning of a code is a state; the empty one is state 0.
  @states (for {_, code, length} <- @codes, taken <- 0..(length - 1) do
             {taken, code >>> (length - taken)}
           end)
          |> Enum.uniq()
          |> Enum.sort()
          |> Enum.with_index()
          |> Map.new()

  @whole Map.new(@codes, fn {symbol, code, length} -> {{length, code}, symbol} end)

  # Where half a byte leads from a state: {state, symbol or -1}, or -1 where no string may go.
  step = fn from, half, whole, states ->
    Enum.reduce([3, 2, 1, 0], {from, -1}, fn
      _, -1 ->
        -1

      bit, {{taken, code}, symbol} ->
        at = {taken + 1, code <<< 1 ||| (half >>> bit &&& 1)}

        case whole do
          %{^at => 256} -> -1
          %{^at => found} -> {{0, 0}, found}
          _ when is_map_key(states, at) -> {at, symbol}
          _ -> -1
        end
    end)
  end

  @steps (for {from, _} <- Enum.sort_by(@states, &elem(&1, 1)), half <- 0..15 do
            case step.(from, half, @whole, @states) do
              -1 -> -1
              {to, symbol} -> {Map.fetch!(@states, to), symbol}
            end
          end)
         |> List.to_tuple()

  # What may be left over at the end: fewer than eight bits, all of them ones.
  @rests for {{taken, code}, state} <- @states, taken < 8, code == (1 <<< taken) - 1, do: state

  @doc "The string, coded and padded to whole bytes."
  @spec encode(binary) :: binary
  def encode(string) do
    coded =
      for <<byte <- string>>, into: <<>> do
        {code, length} = elem(@encoding, byte)
        <<code::size(length)>>
      end

    pad(coded)
  end

  @doc "How many bytes `encode/1` would make."
  @spec size(binary) :: non_neg_integer
  def size(string), do: div(bits(string, 0) + 7, 8)

  @doc "The string behind the bytes, or `:error` where they are no code or are padded wrongly."
  @spec decode(binary) :: {:ok, binary} | :error
  def decode(coded), do: decode(coded, 0, <<>>)

  defp pad(coded) do
    missing = rem(8 - rem(bit_size(coded), 8), 8)
    <<coded::bitstring, (1 <<< missing) - 1::size(missing)>>
  end

  defp bits(<<byte, rest::binary>>, sum), do: bits(rest, sum + elem(elem(@encoding, byte), 1))
  defp bits(<<>>, sum), do: sum

  defp decode(<<half::4, rest::bitstring>>, state, string) do
    case elem(@steps, state * 16 + half) do
      {next, -1} -> decode(rest, next, string)
      {next, symbol} -> decode(rest, next, <<string::binary, symbol>>)
      -1 -> :error
    end
  end

  defp decode(<<>>, state, string) when state in @rests, do: {:ok, string}
  defp decode(<<>>, _, _), do: :error
end
