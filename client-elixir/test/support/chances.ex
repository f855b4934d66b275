defmodule Sidewinder.Test.Chances do
  @moduledoc "Random values and messages, the same ones for the same seed."

  alias Sidewinder.Codec.Descriptor

  @doc "A value that MessagePack carries and gives back as it is."
  def value(seed) do
    :rand.seed(:exsss, {seed, 1, 1})
    any(4)
  end

  defp any(0), do: leaf()

  defp any(depth) do
    case :rand.uniform(4) do
      1 -> for _ <- 1..count(depth), do: any(depth - 1)
      2 -> Map.new(1..count(depth), fn _ -> {key(), any(depth - 1)} end)
      _ -> leaf()
    end
  end

  # Heads change at 16: once in a while, and not in each other.
  defp count(1), do: Enum.random([1, 2, 15, 16, 17])
  defp count(_depth), do: :rand.uniform(3)
  defp key, do: Enum.random([text(), text(), text(), integer()])

  defp leaf do
    case :rand.uniform(7) do
      1 -> nil
      2 -> Enum.random([true, false])
      3 -> integer()
      4 -> :rand.normal() * :math.pow(10, :rand.uniform(30))
      5 -> text()
      6 -> DateTime.from_unix!(:rand.uniform(310_000_000_000_000_000) - 60_000_000_000_000_000, :microsecond)
      7 -> Enum.random([:nan, :infinity, :neg_infinity])
    end
  end

  defp integer do
    bits = :rand.uniform(64)
    number = :rand.uniform(Bitwise.bsl(1, bits)) - 1
    if bits < 64 and :rand.uniform(2) == 1, do: -number, else: number
  end

  defp text do
    for _ <- 1..Enum.random([1, 5, 31, 32, 40, 300]),
        into: "",
        do: <<Enum.random([?a..?z, ?ä..?ü, 0x4E00..0x4E20, 0x1F600..0x1F620]) |> Enum.random()::utf8>>
  end

  @doc "A random message of the contract: its name in the contract, and the struct."
  def message(seed, package \\ "") do
    :rand.seed(:exsss, {seed, 2, 2})
    known = descriptors()

    name =
      known.messages |> Map.keys() |> Enum.filter(&String.starts_with?(&1, package)) |> Enum.sort() |> Enum.random()

    {name, fill(name, known, 3)}
  end

  defp descriptors do
    case :persistent_term.get(__MODULE__, nil) do
      nil ->
        priv = Path.expand("../../priv", __DIR__)

        read =
          for file <- ["sidewinder.v1.bin", "google.rpc.bin"], do: Descriptor.read(File.read!(Path.join(priv, file)))

        messages = for set <- read, message <- set.messages, into: %{}, do: {message.name, message}
        known = %{messages: messages, enums: Enum.reduce(read, %{}, &Map.merge(&2, &1.enums))}
        :persistent_term.put(__MODULE__, known)
        known

      known ->
        known
    end
  end

  defp fill(name, known, depth) do
    message = Map.fetch!(known.messages, name)
    chosen = for oneof <- message.oneofs, into: %{}, do: {oneof, member(message, oneof)}

    fields = for field <- message.fields, value = some(field, chosen, known, depth), value != :nothing, do: value

    struct!(Map.fetch!(Sidewinder.Proto.messages(), name), fields)
  end

  defp member(message, oneof) do
    Enum.random([nil | for(%{label: {:oneof, ^oneof}} = field <- message.fields, do: field.name)])
  end

  defp some(%{label: {:oneof, oneof}} = field, chosen, known, depth) do
    if chosen[oneof] == field.name and deep_enough(field.kind, depth),
      do: {oneof, {field.name, one(field.kind, known, depth)}},
      else: :nothing
  end

  defp some(field, _chosen, known, depth) do
    cond do
      :rand.uniform(3) == 1 or not deep_enough(field.kind, depth) -> :nothing
      match?({:map, _, _}, field.label) -> {field.name, map(field.label, known, depth)}
      field.label == :repeated -> {field.name, for(_ <- 1..:rand.uniform(4), do: one(field.kind, known, depth))}
      true -> {field.name, one(field.kind, known, depth)}
    end
  end

  defp deep_enough({:message, _}, depth), do: depth > 0
  defp deep_enough(_kind, _depth), do: true

  defp map({:map, key, value}, known, depth) do
    if deep_enough(value, depth),
      do: Map.new(1..:rand.uniform(4), fn _ -> {one(key, known, depth), one(value, known, depth)} end),
      else: %{}
  end

  defp one({:message, name}, known, depth), do: fill(name, known, depth - 1)
  defp one({:enum, name}, known, _depth), do: known.enums |> Map.fetch!(name) |> Enum.random() |> elem(0)
  defp one(:string, _known, _depth), do: Enum.random(["", text()])
  defp one(:bytes, _known, _depth), do: :rand.bytes(Enum.random([0, 1, 200]))
  defp one(:bool, _known, _depth), do: Enum.random([true, false])
  defp one(kind, _known, _depth) when kind in [:double, :float], do: :rand.uniform(1000) / 8

  defp one(kind, _known, _depth) when kind in [:uint32, :fixed32],
    do: :rand.uniform(Bitwise.bsl(1, :rand.uniform(32))) - 1

  defp one(kind, _known, _depth) when kind in [:uint64, :fixed64],
    do: :rand.uniform(Bitwise.bsl(1, :rand.uniform(64))) - 1

  defp one(kind, _known, _depth) when kind in [:int32, :sint32, :sfixed32],
    do: (:rand.uniform(Bitwise.bsl(1, :rand.uniform(32))) - 1 - 0x80000000) |> max(-0x80000000) |> min(0x7FFFFFFF)

  defp one(_signed, _known, _depth), do: :rand.uniform(Bitwise.bsl(1, 64)) - 1 - 0x8000000000000000
end
